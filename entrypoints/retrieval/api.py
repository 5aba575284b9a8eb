"""What the commands do for experiments of ``kind = "retrieve"``, as functions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fusionapp.adapters.torch_shared.launcher import leads
from fusionapp.application.ports.run_store import RunStore
from fusionapp.application.services.evaluate_retrieval import RetrievalEvaluation
from fusionapp.application.services.extract_parts import PARTS, PartsExtraction
from fusionapp.application.services.hybrid import has_hybrids
from fusionapp.application.services.read_pairs import PairsRead
from fusionapp.application.services.tuned_rounds import Tuning, read_tuning
from fusionapp.domain.embeddings import Json, fingerprint
from fusionapp.domain.errors import UsageError
from fusionapp.domain.splits import chosen_splits
from fusionapp.entrypoints.leaderboards import leaderboard_csv
from fusionapp.entrypoints.retrieval.cards import write_cards
from fusionapp.entrypoints.retrieval.contest import find_skipped, judging_splits, run_contest
from fusionapp.entrypoints.retrieval.crew import follow, leading
from fusionapp.entrypoints.retrieval.reports import (
    leaderboard_markdown,
    read_evaluation,
    write_evaluation,
)
from fusionapp.entrypoints.retrieval.schema import RetrievalExperiment
from fusionapp.entrypoints.retrieval.session import RetrievalSession, open_retrieval
from fusionapp.entrypoints.retrieval.steps import (
    extract as extract_step,
    read_pairs,
    refuse_changed,
    tune,
)
from fusionapp.entrypoints.retrieval.untuned import EVALUATED, carry_untuned, refuse_other
from fusionapp.entrypoints.task_session import Directory


def extract(
    experiment: RetrievalExperiment,
    *,
    splits: Sequence[str] = (),
    run: Directory,
    overwrite: bool = False,
    quiet: bool = True,
) -> PartsExtraction:
    """Embed the queries and documents of an experiment, resuming what an earlier call left.

    Raises:
        FusionAppError: see `fusionapp.domain.errors`.
    """
    session = open_retrieval(experiment, quiet=quiet, run=Path(run))
    with session.gateways.runs().lock(), session.services.guard().around(session.resolved, overwrite):
        read = read_pairs(session)
        encoders = {name: session.roles(name) for name in experiment.encoders}
        return extract_step(session, read, encoders, splits or list(read.splits))


def train(
    experiment: RetrievalExperiment, *, runs: Directory = "runs", overwrite: bool = False, quiet: bool = True
) -> Tuning:
    """Tune an experiment's encoder, once a seed; one that was tuned on the same data is returned as it is.

    Where a launcher started several processes, all of them call this alike: the first one reads the data and
    writes the run, and each returns what that holds in the end.

    Raises:
        UsageError: the run holds an encoder of another experiment, or of other data, and `overwrite` is not set.
        FusionAppError: see `fusionapp.domain.errors`.
    """
    session = open_retrieval(experiment, runs, quiet or not leads())
    if not leads():
        follow(session)
        return _trained(session.gateways.runs())
    with session.gateways.runs().lock(), leading(session):
        with session.services.guard().around(session.resolved, overwrite):
            read = read_pairs(session)
            tuning = tune(session, read, overwrite)
        if not tuning.reused:
            write_cards(session, tuning, read)
        return tuning


def evaluate(
    experiment: RetrievalExperiment,
    *,
    split: str = "test",
    runs: Directory = "runs",
    overwrite: bool = False,
    quiet: bool = True,
) -> RetrievalEvaluation:
    """Score a split of a tuned run, beside its controls.

    Of a dataset without train, where nothing was tuned, the experiment's first transformer is judged as it comes.
    It is scored once, as a classification's is, but for controls that were skipped and can be asked by now.

    Raises:
        UsageError: the run is not tuned, or not evaluated, for this experiment and these data.
        FusionAppError: see `fusionapp.domain.errors`.
    """
    session = open_retrieval(experiment, runs, quiet)
    store = session.gateways.runs()
    tuning = _tuning(session)
    with store.lock(), session.services.guard().around(session.resolved, overwrite):
        read = read_pairs(session)
        chosen_splits(read.splits, [split])
        models: Json = _untuned(session, read, overwrite) if tuning is None else _tuned(session)
        splits = judging_splits(read, split)
        basis = _basis(session, models, split, splits)
        earlier = None if overwrite else read_evaluation(store, split, basis)
        skipped = find_skipped(session, splits)
        if (
            earlier is not None
            and skipped.keys() >= earlier.skipped.keys()
            and (earlier.hybrid is None or has_hybrids(store))
        ):
            return earlier
        evaluation = run_contest(session, tuning, split, read, skipped)
        if tuning is None:
            store.write_document(EVALUATED, models)
        write_evaluation(store, evaluation, basis)
        store.write_text(f"leaderboard-{split}.md", leaderboard_markdown(evaluation))
        store.write_text(f"leaderboard-{split}.csv", leaderboard_csv(evaluation.leaderboard))
        if split == "test" and tuning is not None:
            write_cards(session, tuning, read, evaluation)
        return evaluation


def _trained(store: RunStore) -> Tuning:
    tuning = read_tuning(store)
    if tuning is None:
        raise UsageError(f"{store.directory} is not trained; run `fusionapp train` first")
    return tuning


def _tuning(session: RetrievalSession) -> Tuning | None:
    """What the run was tuned to; None where it was not, and the dataset has no train to do it by."""
    store = session.gateways.runs()
    if read_tuning(store) is None and "train" not in session.gateways.pairs().splits():
        return None
    return _trained(store)


def _tuned(session: RetrievalSession) -> str:
    """What stands for the tuned encoders; errors as of `refuse_changed`."""
    refuse_changed(session)
    digest: str = session.gateways.runs().hash_file("models/trained.json")
    return digest


def _untuned(session: RetrievalSession, read: PairsRead, overwrite: bool) -> dict[str, Json]:
    """What stands for the encoder as it comes; errors as of `refuse_other`."""
    carried = carry_untuned(session, read)
    if not overwrite:
        refuse_other(session, carried)
    return carried


def _basis(session: RetrievalSession, models: Json, split: str, splits: Sequence[str]) -> str:
    """A fingerprint of everything that an evaluation's numbers depend on."""
    runs, spool = session.gateways.runs(), session.gateways.spool()
    return fingerprint(
        {
            "models": models,
            "encoders": session.resolved["encoders"],
            "split": split,
            "texts": [spool.read(f"{one}.{part}").texts_sha256 for one in splits for part in PARTS],
            "pairs": [runs.hash_file(f"pairs/{one}.parquet") for one in splits],
            "evaluate": session.resolved["evaluate"],
        }
    )

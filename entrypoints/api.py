"""The Python API: what the commands do, as functions."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from fusionapp.application.services.evaluate_classifier import Evaluation
from fusionapp.application.services.extract_dataset import Extraction
from fusionapp.application.services.guard_experiment import differences
from fusionapp.application.services.prepare_classification import ClassificationData
from fusionapp.application.services.read_splits import OnEmpty
from fusionapp.application.services.search_recipe import Search, read_search
from fusionapp.application.services.train_classifier import Training
from fusionapp.application.services.train_rounds import ROUNDS
from fusionapp.domain.embeddings import fingerprint
from fusionapp.domain.errors import UsageError
from fusionapp.entrypoints.experiment.environment import read_environment
from fusionapp.entrypoints.experiment.load import Source, load_experiment, runs_directory
from fusionapp.entrypoints.experiment.schema import EvaluateSettings, Experiment
from fusionapp.entrypoints.prediction import Classifier, load
from fusionapp.entrypoints.protocols import (
    evaluate_protocol,
    follows_protocol,
    refuse_protocol,
    train_protocol,
)
from fusionapp.entrypoints.reports import (
    leaderboard_csv,
    leaderboard_markdown,
    read_evaluation,
    write_evaluation,
)
from fusionapp.entrypoints.searching import SearchBudget, search_settings, with_decided_settings
from fusionapp.entrypoints.session import Session, open_session

__all__ = [
    "Classifier",
    "Experiment",
    "SearchBudget",
    "evaluate",
    "evaluate_file",
    "extract",
    "load",
    "train",
]

logger = logging.getLogger(__name__)

Directory = str | os.PathLike[str]


def extract(
    experiment: Source,
    *,
    splits: Sequence[str] = (),
    limit: int | None = None,
    on_empty: OnEmpty = "quarantine",
    runs: Directory = "runs",
    output: Directory | None = None,
    overwrite: bool = False,
    quiet: bool = True,
) -> Extraction:
    """Embed an experiment's texts, resuming what an earlier call left.

    Args:
        experiment: a path, a dict or an `Experiment`.
        splits: only these; empty for all.
        limit: only the first rows of each split; such a run never counts as complete.
        on_empty: whether a blank text is an error (as it is to `train`) or is quarantined.
        runs: directory of run directories.
        output: the run directory, where it is not ``runs/NAME``.
        overwrite: replace another experiment of the same name.
        quiet: show no progress bars.

    Raises:
        FusionAppError: see `fusionapp.domain.errors`.
    """
    session = _open(experiment, runs, quiet, output)
    with session.gateways.runs().lock():
        session.services.guard()(session.resolved, overwrite)
        return _extract(session, splits, limit, on_empty)


def train(
    experiment: Source,
    *,
    runs: Directory = "runs",
    overwrite: bool = False,
    quiet: bool = True,
    search: SearchBudget | None = None,
) -> Training:
    """Train an experiment's heads, all seeds at once, extracting first what is missing.

    Heads that were trained on the same data by the same settings are returned as they are.

    Args:
        experiment: a path, a dict or an `Experiment`.
        runs: directory of run directories.
        overwrite: replace another experiment of the same name, its heads and its search.
        quiet: show no progress bars.
        search: tune the settings on validation first, going on where an earlier search ended. They are kept in
            ``search.json``, and hold for the run from then on.

    Raises:
        UsageError: the run holds heads of another experiment, or of other data, and `overwrite` is not set.
        FusionAppError: see `fusionapp.domain.errors`.
    """
    session = _open(experiment, runs, quiet)
    with session.gateways.runs().lock():
        session.services.guard()(session.resolved, overwrite)
        extraction = _extract(session)
        if search is not None:
            refuse_protocol(session.experiment, "train --search")
            data = _prepare(session, extraction)
            session = search_settings(
                session, data, partial(_carried, extraction=extraction), search, overwrite
            )
            session.services.guard()(session.resolved, True)
        carried = _carried(session, extraction)
        if follows_protocol(session.experiment):
            _describe_environment(session)
            return train_protocol(session, extraction, carried, overwrite)
        found = _trained_with(session)
        if search is None and found is not None and any(differences(found, carried)) and not overwrite:
            raise UsageError(
                f"{session.gateways.runs().directory}: the data or an encoder changed since training; "
                "choose another `name`, or give --overwrite to train again"
            )
        _describe_environment(session)
        return _train(session, _prepare(session, extraction), carried)


def evaluate(
    experiment: Source,
    *,
    split: str = "test",
    runs: Directory = "runs",
    overwrite: bool = False,
    quiet: bool = True,
) -> Evaluation:
    """Score a split with a trained run, beside its controls.

    The split is scored once: a second call returns what the first one found, unless something changed that
    the numbers depend on, or `overwrite` is set. Scores, metrics and leaderboards go to the run directory.

    Raises:
        UsageError: the run is not trained for this experiment and these data.
        FusionAppError: see `fusionapp.domain.errors`.
    """
    session = _open(experiment, runs, quiet)
    store = session.gateways.runs()
    _refuse_untrained(session)
    with store.lock():
        session.services.guard()(session.resolved, overwrite)
        extraction = _extract(session)
        carried = _carried(session, extraction)
        if follows_protocol(session.experiment):
            return evaluate_protocol(session, extraction, carried, split, overwrite)
        _refuse_untrained(session, carried)
        if split not in extraction.inventory["splits"]:
            raise UsageError(f"split {split!r}: the dataset has {', '.join(extraction.inventory['splits'])}")
        basis = _basis(session, extraction, split)
        earlier = None if overwrite else read_evaluation(store, split, basis)
        if earlier is not None:
            return earlier
        evaluation = _evaluate(session, extraction, carried, split, session.experiment.evaluate)
        write_evaluation(store, evaluation, basis)
        store.write_text(f"leaderboard-{split}.md", leaderboard_markdown(evaluation))
        store.write_text(f"leaderboard-{split}.csv", leaderboard_csv(evaluation))
        return evaluation


def evaluate_file(
    experiment: Source, file: Directory, *, runs: Directory = "runs", quiet: bool = True
) -> Evaluation:
    """Score another labelled file, with the dataset's columns, by a trained run; no controls are trained.

    Its embeddings' inventory and scores go to a run directory beside the run's own, ``NAME.on.FILE``.

    Raises:
        UsageError: the run is not trained.
        DatasetError: the file cannot be read, or has a label that the run does not know.
    """
    session = _open(experiment, runs, quiet)
    settings = session.experiment
    refuse_protocol(settings, "evaluate --on")
    dataset = attrs.evolve(
        settings.dataset, source="files", train=None, validation=None, test=str(file), drop_duplicates=False
    )
    other = open_session(
        attrs.evolve(settings, dataset=dataset),
        quiet=quiet,
        run=Path(runs_directory(experiment, runs)) / f"{settings.name}.on.{Path(file).stem}",
    )
    _refuse_untrained(session)
    with session.gateways.runs().lock(), other.gateways.runs().lock():
        extraction = _extract(session)
        carried = _carried(session, extraction)
        _refuse_untrained(session, carried)
        data = _prepare(session, extraction)
        evaluation: Evaluation = session.services.evaluate(runs=other.gateways.runs())(
            **_evaluation_arguments(session, data, carried, attrs.evolve(settings.evaluate, baselines=False)),
            test=other.services.gather()(_extract(other).inventory, "test"),
        )
        other.gateways.runs().write_text("leaderboard-test.md", leaderboard_markdown(evaluation))
        return evaluation


def _open(experiment: Source, runs: Directory, quiet: bool, run: Directory | None = None) -> Session:
    settings = load_experiment(experiment, defaults=read_environment().defaults())
    place = None if run is None else Path(run)
    return with_decided_settings(open_session(settings, runs_directory(experiment, runs), quiet, place))


def _extract(
    session: Session, splits: Sequence[str] = (), limit: int | None = None, on_empty: OnEmpty = "error"
) -> Extraction:
    storage = session.experiment.storage
    extraction: Extraction = session.services.extract_dataset()(
        encoders=session.encoders(),
        storage={"adapter": storage.adapter, "root": session.root_beside_run()},
        shard_rows=storage.shard_rows,
        splits=splits,
        limit=limit,
        on_empty=on_empty,
    )
    for pair, count in extraction.shared.counts.items():
        if not (session.experiment.dataset.drop_duplicates and "train" in pair):
            logger.warning(
                "%d distinct texts stand in %s and in %s (dataset.drop_duplicates = true removes them from train)",
                count,
                *pair,
            )
    return extraction


def _carried(session: Session, extraction: Extraction) -> dict[str, Any]:
    """What makes a trained head what it is, beside its weights: encoders, data and settings."""
    encoders = {
        name: {"settings": session.resolved["encoders"][name], "identity": encoder["identity"]}
        for name, encoder in extraction.inventory["encoders"].items()
    }
    data = {
        split: [place["texts_sha256"], place["labels_sha256"]]
        for split, place in extraction.inventory["splits"].items()
        if split in ("train", "validation")
    }
    settings = {key: session.resolved[key] for key in ("seed", "fusion", "train")}
    dropped = extraction.shared.train_rows.tolist() if session.experiment.dataset.drop_duplicates else []
    return {
        "encoders": encoders,
        "order": list(encoders),
        "data": data,
        "dropped_duplicates": {"rows": len(dropped), "sha256": fingerprint({"rows": dropped})},
        "settings": settings,
    }


def _trained_with(session: Session) -> Any:
    trained = ROUNDS if follows_protocol(session.experiment) else "models/trained.json"
    found = session.gateways.runs().read_document(trained)
    return None if found is None else found["carried"]


def _refuse_untrained(session: Session, carried: Mapping[str, Any] | None = None) -> None:
    """Refuse a run without heads and, where `carried` is known, one with others than it asks for."""
    found = _trained_with(session)
    if found is None:
        raise UsageError(f"{session.gateways.runs().directory} is not trained; run `fusionapp train` first")
    if carried is not None and any(differences(found, carried)):
        raise UsageError(
            f"{session.gateways.runs().directory} was trained on other data or by other settings; "
            "run `fusionapp train --overwrite`"
        )


def _prepare(session: Session, extraction: Extraction) -> ClassificationData:
    gather = session.services.gather()
    splits = extraction.inventory["splits"]
    if "train" not in splits:
        raise UsageError(f"the dataset has no train split (it has {', '.join(splits)})")
    drop = session.experiment.dataset.drop_duplicates
    data: ClassificationData = session.services.prepare()(
        gather(extraction.inventory, "train"),
        gather(extraction.inventory, "validation") if "validation" in splits else None,
        extraction.shared.train_rows if drop else np.empty(0, dtype=np.int64),
    )
    return data


def _train(session: Session, data: ClassificationData, carried: Mapping[str, Any]) -> Training:
    settings = session.experiment
    training: Training = session.services.train()(
        "models", settings.fusion, settings.train, session.seeds, data, carried
    )
    return training


def _describe_environment(session: Session) -> None:
    from fusionapp.adapters.machine.environment import describe_environment

    described = describe_environment(session.experiment.train.device)
    session.gateways.runs().write_document("environment.json", described)


def _evaluate(
    session: Session,
    extraction: Extraction,
    carried: Mapping[str, Any],
    split: str,
    settings: EvaluateSettings,
) -> Evaluation:
    data = _prepare(session, extraction)
    test = session.services.gather()(extraction.inventory, split)
    evaluation: Evaluation = session.services.evaluate()(
        **_evaluation_arguments(session, data, carried, settings), test=test
    )
    return evaluation


def _evaluation_arguments(
    session: Session, data: ClassificationData, carried: Mapping[str, Any], settings: EvaluateSettings
) -> dict[str, Any]:
    experiment = session.experiment
    return {
        "name": experiment.fusion.kind + (" (residual)" if experiment.fusion.residual else ""),
        "fusion": experiment.fusion,
        "recipe": experiment.train,
        "seeds": session.seeds,
        "trained": _train(session, data, carried),
        "data": data,
        "label_column": experiment.dataset.label,
        "draws": settings.draws,
        "baselines": settings.baselines,
        "costs": settings.costs,
        "carried": carried,
    }


def _basis(session: Session, extraction: Extraction, split: str) -> str:
    """A fingerprint of everything that an evaluation's numbers depend on."""
    weights = [
        session.gateways.runs().hash_file(f"models/seed-{seed}/head.safetensors") for seed in session.seeds
    ]
    return fingerprint(
        {
            "carried": _trained_with(session),
            "heads": weights,
            "split": split,
            "data": extraction.inventory["splits"][split],
            "evaluate": session.resolved["evaluate"],
        }
    )


def search_of(experiment: Source, runs: Directory = "runs") -> Search | None:
    """The search that an experiment's run holds, or None."""
    return read_search(_open(experiment, runs, quiet=True).gateways.runs())

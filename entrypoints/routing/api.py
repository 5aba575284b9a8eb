"""What the commands do for experiments of ``kind = "route"``, as functions."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fusionapp.application.services.evaluate_router import RouterEvaluation
from fusionapp.application.services.extract_parts import PartsExtraction
from fusionapp.application.services.train_router import RouterTraining
from fusionapp.domain.embeddings import fingerprint
from fusionapp.domain.errors import UsageError
from fusionapp.domain.splits import chosen_splits
from fusionapp.entrypoints.leaderboards import leaderboard_csv
from fusionapp.entrypoints.routing.pictures import cost_quality_picture
from fusionapp.entrypoints.routing.reports import (
    leaderboard_markdown,
    read_evaluation,
    write_evaluation,
)
from fusionapp.entrypoints.routing.schema import RoutingExperiment
from fusionapp.entrypoints.routing.session import RoutingSession, open_routing
from fusionapp.entrypoints.routing.steps import (
    carry,
    extract as extract_step,
    judge,
    read_answers,
    refuse_changed,
    train as train_step,
)
from fusionapp.entrypoints.routing.tuning import train_tuned, untuned_rivals, with_tuned_encoder
from fusionapp.entrypoints.task_session import Directory

logger = logging.getLogger(__name__)


def extract(
    experiment: RoutingExperiment,
    *,
    splits: Sequence[str] = (),
    run: Directory,
    overwrite: bool = False,
    quiet: bool = True,
) -> PartsExtraction:
    """Embed the prompts of an experiment, resuming what an earlier call left.

    Raises:
        FusionAppError: see `fusionapp.domain.errors`.
    """
    session = open_routing(experiment, quiet=quiet, run=Path(run))
    with session.gateways.runs().lock(), session.services.guard().around(session.resolved, overwrite):
        return extract_step(with_tuned_encoder(session), read_answers(session), splits)


def train(
    experiment: RoutingExperiment, *, runs: Directory = "runs", overwrite: bool = False, quiet: bool = True
) -> RouterTraining:
    """Train an experiment's routers; ones that were trained on the same data are returned as they are.

    Raises:
        UsageError: the run holds routers of another experiment, or of other data, and `overwrite` is not set.
        CorruptArtifactError: its routers are not what was trained, and `overwrite` is not set.
        FusionAppError: see `fusionapp.domain.errors`.
    """
    session = open_routing(experiment, runs, quiet)
    with session.gateways.runs().lock(), session.services.guard().around(session.resolved, overwrite):
        read = read_answers(session)
        if experiment.train.tune_encoder:
            return train_tuned(session, read, overwrite)
        return train_step(session, extract_step(session, read), overwrite=overwrite)


def evaluate(
    experiment: RoutingExperiment,
    *,
    split: str = "test",
    runs: Directory = "runs",
    overwrite: bool = False,
    quiet: bool = True,
) -> RouterEvaluation:
    """Score a split of a trained run, beside its controls. It is scored once, as a classification's is.

    Raises:
        UsageError: the run is not trained for this experiment and these data.
        FusionAppError: see `fusionapp.domain.errors`.
    """
    session = open_routing(experiment, runs, quiet)
    store = session.gateways.runs()
    if store.read_document("models/trained.json") is None:
        raise UsageError(f"{store.directory} is not trained; run `fusionapp train` first")
    with store.lock():
        session.services.guard()(session.resolved, overwrite)
        session, read = with_tuned_encoder(session), read_answers(session)
        extraction = extract_step(session, read)
        refuse_changed(session, carry(session, extraction))
        basis = _basis(session, extraction, split)
        _tell_newcomers(session)
        earlier = None if overwrite else read_evaluation(store, split, basis)
        if earlier is not None:
            return earlier
        rivals = untuned_rivals(session, extraction, read, split)
        extraction = extract_step(session, read)
        evaluation = judge(session, extraction, train_step(session, extraction), split, rivals)
        write_evaluation(store, evaluation, basis)
        store.write_text(f"leaderboard-{split}.md", leaderboard_markdown(evaluation))
        store.write_text(f"leaderboard-{split}.csv", leaderboard_csv(evaluation.leaderboard))
        picture = cost_quality_picture(evaluation)
        if picture is not None:
            store.write_text(f"cost-quality-{split}.svg", session.gateways.charts().draw(picture))
        return evaluation


def _tell_newcomers(session: RoutingSession) -> None:
    entered = session.services.extend().names()
    if entered:
        logger.warning(
            "%s entered by probes, and the dataset has no answers to judge that by: the routers are judged as "
            "they were trained",
            ", ".join(entered),
        )


def _basis(session: RoutingSession, extraction: PartsExtraction, split: str) -> str:
    """A fingerprint of everything that an evaluation's numbers depend on."""
    runs = session.gateways.runs()
    tables: list[Any] = [
        name for name in ("answers", "battles") if name in runs.read_document("models.json")["tables"]
    ]
    chosen_splits(extraction.inventory["splits"], [split])
    return fingerprint(
        {
            "models": runs.hash_file("models/trained.json"),
            "split": split,
            "data": extraction.inventory["splits"][split],
            "answers": [runs.hash_file(f"{table}/{split}.parquet") for table in tables],
            "costs": runs.read_document("models.json")["models"],
            "evaluate": session.resolved["evaluate"],
        }
    )

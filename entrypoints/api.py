"""The Python API: what the commands do, as functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import attrs

from fusionapp.application.services.evaluate_classifier import Evaluation
from fusionapp.application.services.extract_dataset import Extraction
from fusionapp.application.services.guard_experiment import differences
from fusionapp.application.services.prepare_classification import ClassificationData
from fusionapp.application.services.read_splits import OnEmpty
from fusionapp.application.services.search_recipe import Search, read_search
from fusionapp.application.services.train_classifier import Training
from fusionapp.domain.errors import UsageError
from fusionapp.domain.splits import chosen_splits
from fusionapp.entrypoints.experiment.load import Source, runs_directory
from fusionapp.entrypoints.experiment.schema import EvaluateSettings, Experiment
from fusionapp.entrypoints.leaderboards import leaderboard_csv
from fusionapp.entrypoints.loading import load
from fusionapp.entrypoints.prediction import Classifier
from fusionapp.entrypoints.protocols import (
    evaluate_protocol,
    follows_protocol,
    refuse_protocol,
    train_protocol,
)
from fusionapp.entrypoints.reports import (
    leaderboard_markdown,
    read_evaluation,
    write_evaluation,
)
from fusionapp.entrypoints.searching import SearchBudget, search_settings
from fusionapp.entrypoints.session import Session, open_session
from fusionapp.entrypoints.steps import (
    Directory,
    carry,
    evaluation_basis,
    extract_embeddings,
    open_experiment,
    prepare_data,
    refuse_unlabelled,
    refuse_untrained,
    train_heads,
    trained_with,
)
from fusionapp.entrypoints.tuned_encoders import refuse_tuned
from fusionapp.entrypoints.tuning import frozen_control, train_tuned, tuning_summary

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
    session = open_experiment(experiment, runs, quiet, output)
    with session.gateways.runs().lock(), session.services.guard().around(session.resolved, overwrite):
        return extract_embeddings(session, splits, limit, on_empty)


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
        overwrite: replace another experiment of the same name, its heads and its search, and heads that were
            changed since they were trained.
        quiet: show no progress bars.
        search: tune the settings on validation first, going on where an earlier search ended. They are kept in
            ``search.json``, and hold for the run from then on.

    Raises:
        UsageError: the run holds heads of another experiment, or of other data, and `overwrite` is not set.
        CorruptArtifactError: its heads are not what was trained, and `overwrite` is not set.
        FusionAppError: see `fusionapp.domain.errors`.
    """
    session = open_experiment(experiment, runs, quiet)
    refuse_unlabelled(session.experiment)
    with session.gateways.runs().lock():
        session.services.guard()(session.resolved, overwrite)
        if session.experiment.train.tune_encoders:
            return _train_tuned(session, search, overwrite)
        extraction = extract_embeddings(session)
        if search is not None:
            refuse_protocol(session.experiment, "train --search")
        if not follows_protocol(session.experiment):
            data = prepare_data(session, extraction)
        if search is not None:
            session = search_settings(session, data, partial(carry, extraction=extraction), search, overwrite)
        session.services.guard().record(session.resolved)
        carried = carry(session, extraction)
        if follows_protocol(session.experiment):
            _describe_environment(session)
            return train_protocol(session, extraction, carried, overwrite)
        found = trained_with(session)
        if search is None and found is not None and any(differences(found, carried)) and not overwrite:
            raise UsageError(
                f"{session.gateways.runs().directory}: the data or an encoder changed since training; "
                "choose another `name`, or give --overwrite to train again"
            )
        _describe_environment(session)
        return train_heads(session, data, carried, overwrite)


def _train_tuned(session: Session, search: SearchBudget | None, overwrite: bool) -> Training:
    if search is not None:
        refuse_tuned(session, "train --search", "search without it first, and tune by the settings found")
    trained = train_tuned(session, overwrite)
    session.services.guard().record(session.resolved)
    _describe_environment(session)
    return trained


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
    session = open_experiment(experiment, runs, quiet)
    store = session.gateways.runs()
    refuse_untrained(session)
    with store.lock():
        guard = session.services.guard()
        # Replacing scores is no leave to rename the run's heads: of those only `train --overwrite` makes others.
        elsewhere = [path for path in guard.changed(session.resolved) if not path.startswith("dataset.")]
        guard(session.resolved, overwrite and not elsewhere)
        extraction = extract_embeddings(session)
        guard.record(session.resolved)
        carried = carry(session, extraction)
        if follows_protocol(session.experiment):
            return evaluate_protocol(session, extraction, carried, split, overwrite)
        refuse_untrained(session, carried)
        chosen_splits(extraction.inventory["splits"], [split])
        basis = evaluation_basis(session, extraction, split)
        earlier = None if overwrite else read_evaluation(store, split, basis)
        if earlier is not None:
            return earlier
        evaluation = _evaluate(session, extraction, carried, split, session.experiment.evaluate)
        write_evaluation(store, evaluation, basis)
        store.write_text(f"leaderboard-{split}.md", leaderboard_markdown(evaluation))
        store.write_text(f"leaderboard-{split}.csv", leaderboard_csv(evaluation.leaderboard))
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
    session = open_experiment(experiment, runs, quiet)
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
    refuse_untrained(session)
    with session.gateways.runs().lock(), other.gateways.runs().lock():
        extraction = extract_embeddings(session)
        carried = carry(session, extraction)
        refuse_untrained(session, carried)
        data = prepare_data(session, extraction)
        evaluation: Evaluation = session.services.evaluate(runs=other.gateways.runs())(
            **_evaluation_arguments(session, data, carried, attrs.evolve(settings.evaluate, baselines=False)),
            test=other.services.gather()(extract_embeddings(other).inventory, "test"),
        )
        other.gateways.runs().write_text("leaderboard-test.md", leaderboard_markdown(evaluation))
        return evaluation


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
    data = prepare_data(session, extraction)
    test = session.services.gather()(extraction.inventory, split)
    evaluation: Evaluation = session.services.evaluate()(
        **_evaluation_arguments(session, data, carried, settings),
        test=test,
        tuned=list(session.tuned),
        beside=frozen_control(session, split, test),
    )
    return evaluation


def _evaluation_arguments(
    session: Session, data: ClassificationData, carried: Mapping[str, Any], settings: EvaluateSettings
) -> dict[str, Any]:
    experiment = session.experiment
    return {
        "name": experiment.fusion.kind
        + (" (residual)" if experiment.fusion.residual else "")
        + (", tuned" if session.tuned else ""),
        "fusion": experiment.fusion,
        "recipe": experiment.train,
        "seeds": session.seeds,
        "trained": train_heads(session, data, carried),
        "data": data,
        "label_column": experiment.dataset.label,
        "draws": settings.draws,
        "baselines": settings.baselines,
        "costs": settings.costs,
        "carried": carried,
    }


def tuning_of(experiment: Source, runs: Directory = "runs") -> Mapping[str, Any] | None:
    """What tuning an experiment's encoders came to (see `tuning_summary`), or None of a run that tuned none."""
    return tuning_summary(open_experiment(experiment, runs, quiet=True))


def search_of(experiment: Source, runs: Directory = "runs") -> Search | None:
    """The search that an experiment's run holds, or None."""
    return read_search(open_experiment(experiment, runs, quiet=True).gateways.runs())

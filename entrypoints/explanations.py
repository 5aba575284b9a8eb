"""Explaining a trained run: which of its parts count, what it weighs, and where it errs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np

from fusionapp.application.ports.charts import Charts
from fusionapp.application.services.explain_ablation import REFERENCE_ROWS
from fusionapp.application.services.explanation import Subject
from fusionapp.application.services.extract_dataset import Extraction
from fusionapp.application.services.gather_embeddings import SplitEmbeddings
from fusionapp.application.services.prepare_classification import (
    ClassificationData,
    encode_labels,
    exclude_rows,
)
from fusionapp.application.services.write_explanation import WrittenFinding
from fusionapp.domain.errors import UsageError
from fusionapp.entrypoints import steps
from fusionapp.entrypoints.experiment.load import Source
from fusionapp.entrypoints.protocols import refuse_protocol
from fusionapp.entrypoints.reports import read_evaluation
from fusionapp.entrypoints.session import Session
from fusionapp.entrypoints.tuned_encoders import refuse_tuned

DIRECTORY = "explanations"


@attrs.frozen
class Explanation:
    """What `explain` found and where it is.

    Attributes:
        run: the run directory.
        split: the rows that heads were explained on.
        rows: how many.
        left_out: rows of the split that an encoder quarantined.
        index: path of ``index.md``, which shows all findings.
        notes: what a reader should know first.
        findings: each with its files and main numbers.
    """

    run: str
    split: str
    rows: int
    left_out: int
    index: str
    notes: Sequence[str]
    findings: Sequence[WrittenFinding]

    @property
    def warnings(self) -> list[str]:
        """Every finding's warnings."""
        return [warning for finding in self.findings for warning in finding.warnings]


def explain(
    experiment: Source,
    *,
    split: str = "validation",
    retrain: bool = False,
    runs: str | os.PathLike[str] = "runs",
    quiet: bool = True,
) -> Explanation:
    """Explain a trained run on one of its splits, from saved heads and stored embeddings.

    Tables, pictures (with the extra `charts`) and their index go to ``RUN/explanations/SPLIT``. Explanations
    invite choices, so the split is validation unless another is named, and test can be explained once it is
    evaluated.

    Args:
        experiment: a path, a dict or an `Experiment`; the run must be trained.
        split: train, validation (the rows set aside where the dataset names none) or test.
        retrain: also train the fusion without each source in turn; heads trained before are reused.
        runs: directory of run directories.
        quiet: show no progress bars.

    Raises:
        UsageError: the run is not trained for this experiment and these data, the split is not there, or it is the
            test split and not evaluated yet.
        FusionAppError: see `fusionapp.domain.errors`.
    """
    session = steps.open_experiment(experiment, runs, quiet)
    refuse_protocol(session.experiment, "explain")
    if retrain:
        refuse_tuned(session, "explain --retrain", "explain RUN/frozen so")
    steps.refuse_untrained(session)
    store = session.gateways.runs()
    with store.lock():
        session.services.guard()(session.resolved, False)
        extraction = steps.extract_embeddings(session)
        carried = steps.carry(session, extraction)
        steps.refuse_untrained(session, carried)
        _refuse_unevaluated(session, extraction, split)
        data = steps.prepare_data(session, extraction)
        rows = _rows(session, extraction, data, split)
        subject = _subject(session, extraction, data, rows, split)
        draws = session.experiment.evaluate.draws
        findings = session.services.explain()(subject, "models", session.seeds, data.train.sources, draws)
        if retrain:
            retrained = _retrain(session, data, rows, carried, draws)
            findings[1:1] = [] if retrained is None else [retrained]
        charts, missing = _charts(session)
        notes = [*_notes(session, subject, rows), *missing]
        title = f"What the heads of {session.experiment.name} do on {split}"
        directory = f"{DIRECTORY}/{split}"
        written = session.services.write_explanation(charts=charts)(directory, title, notes, findings)
    return Explanation(
        run=store.directory,
        split=split,
        rows=len(subject.rows),
        left_out=rows.left_out,
        index=store.path(f"{directory}/index.md"),
        notes=notes,
        findings=written,
    )


def _refuse_unevaluated(session: Session, extraction: Extraction, split: str) -> None:
    """Refuse a split that is not there, and a test split that nothing was reported of yet."""
    present = sorted({*extraction.inventory["splits"], "validation"})
    if split not in present:
        raise UsageError(f"split {split!r}: the run has {', '.join(present)}")
    if split in ("train", "validation"):
        return
    store = session.gateways.runs()
    if read_evaluation(store, split, steps.evaluation_basis(session, extraction, split)) is None:
        raise UsageError(
            f"{store.directory}: split {split!r} is not evaluated; run `fusionapp evaluate` first, so that its "
            "number stands before anything is learned from its rows, or explain --split validation"
        )


def _rows(session: Session, extraction: Extraction, data: ClassificationData, split: str) -> SplitEmbeddings:
    """The rows of a split as training took them: validation may be a part of train, and train lacks it then."""
    inside = split != "test" and data.validation_split == "train"
    found: SplitEmbeddings = session.services.gather()(extraction.inventory, "train" if inside else split)
    if split == "validation":
        return exclude_rows(found, np.setdiff1d(found.rows, data.validation_rows))
    if split == "train":
        drop = session.experiment.dataset.drop_duplicates
        duplicates = extraction.shared.train_rows if drop else np.empty(0, dtype=np.int64)
        return exclude_rows(found, np.union1d(duplicates, data.validation_rows if inside else duplicates))
    return found


def _subject(
    session: Session, extraction: Extraction, data: ClassificationData, rows: SplitEmbeddings, split: str
) -> Subject:
    return Subject(
        split=split,
        spooled=rows.split,
        rows=rows.rows,
        labels=encode_labels(rows, data.classes, session.experiment.dataset.label),
        classes=data.classes,
        sources=rows.sources,
        views={name: _views(encoder) for name, encoder in extraction.inventory["encoders"].items()},
    )


def _views(encoder: Mapping[str, Any]) -> list[str]:
    """An encoder's layers by the numbers that it was asked for, else by position."""
    asked = encoder["identity"].get("layers")
    count = encoder["layers"]
    return [str(layer) for layer in (asked if asked and len(asked) == count else range(count))]


def _retrain(
    session: Session, data: ClassificationData, rows: SplitEmbeddings, carried: Mapping[str, Any], draws: int
) -> Any:
    settings = session.experiment
    return session.services.explain_retraining()(
        fusion=settings.fusion,
        recipe=settings.train,
        seeds=session.seeds,
        data=data,
        split=rows,
        carried=carried,
        label_column=settings.dataset.label,
        draws=draws,
    )


def _charts(session: Session) -> tuple[Charts | None, list[str]]:
    try:
        return session.gateways.charts(), []
    except UsageError as error:
        return None, [f"no pictures: {error}"]


def _notes(session: Session, subject: Subject, rows: SplitEmbeddings) -> list[str]:
    """What was looked at, and how far it may be trusted."""
    seeds = session.seeds
    notes = [
        f"{len(subject.rows):,} rows of {subject.split}, {len(subject.classes)} classes, {len(seeds)} seeds of "
        f"{session.experiment.fusion.kind} over {', '.join(subject.sources)}",
        f"means that stand in for removed parts are over train, at most {REFERENCE_ROWS:,} rows of it",
    ]
    if rows.left_out:
        notes.append(f"{rows.left_out} quarantined rows are left out")
    if subject.split == "train":
        notes.append("the heads were trained on these rows: they look better here than they are")
    if subject.split == "validation":
        notes.append("epochs and C were chosen on these rows: read differences, and take levels from test")
    if subject.split == "test":
        notes.append("the test split: what is chosen after reading this needs another one to be judged by")
    return notes


def explanation_json(explanation: Explanation) -> dict[str, Any]:
    """The object of `explain --json`."""
    return {
        "run": explanation.run,
        "split": explanation.split,
        "rows": explanation.rows,
        "left_out": explanation.left_out,
        "index": explanation.index,
        "notes": list(explanation.notes),
        "warnings": explanation.warnings,
        "tables": {
            finding.name: {
                "path": finding.table,
                "figure": finding.figure,
                "rows": finding.rows,
                "numbers": dict(finding.numbers),
            }
            for finding in explanation.findings
        },
    }

"""What a classifier gets wrong: by class, by pair of classes, by text, and by how sure it is."""

from __future__ import annotations

from collections.abc import Sequence
from json import dumps

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.charts import BarChart, Bars, Heatmap, ReliabilityDiagram
from fusionapp.application.ports.spool import Spool
from fusionapp.application.services.explanation import MOST_DRAWN, Finding, Subject
from fusionapp.domain.error_analysis import class_scores, confident_errors, confused_pairs, reliability
from fusionapp.domain.metrics import confusion_matrix, expected_calibration_error

_MOST_PAIRS, _MOST_ERRORS = 50, 50
_CONFIDENCE_BINS = 10


@attrs.frozen
class ExplainPredictions:
    """Looks at what the ensemble of seeds, the model that `predict` uses, says of each row.

    Attributes:
        spool: texts and ids of the rows.
    """

    spool: Spool

    def __call__(self, subject: Subject, probabilities: NDArray[np.float32]) -> list[Finding]:
        """Confusion matrix, most confused pairs, scores by class, most confident errors and reliability.

        Args:
            subject: the rows.
            probabilities: (rows, classes), each row summing to 1.
        """
        return [
            confusion(subject, probabilities),
            pairs(subject, probabilities),
            by_class(subject, probabilities),
            self.errors(subject, probabilities),
            calibration(subject, probabilities),
        ]

    def errors(self, subject: Subject, probabilities: NDArray[np.float32]) -> Finding:
        """The wrong rows that the classifier is surest of."""
        spooled = self.spool.read(subject.spooled)
        ids, said, sure = spooled.ids(), probabilities.argmax(-1), probabilities.max(-1)
        found = confident_errors(subject.labels, probabilities, _MOST_ERRORS)
        rows = [
            (
                int(subject.rows[place]),
                dumps(dict(ids[int(subject.rows[place])]), ensure_ascii=False),
                subject.classes[subject.labels[place]],
                subject.classes[said[place]],
                float(sure[place]),
                float(probabilities[place, subject.labels[place]]),
                *spooled.texts(int(subject.rows[place]), int(subject.rows[place]) + 1),
            )
            for place in found
        ]
        wrong = int((said != subject.labels).sum())
        return Finding(
            name="errors",
            title="Most confident errors",
            reading=(
                f"The {len(rows)} wrong rows of {wrong} that the ensemble is surest of; look here for wrong "
                "labels and for texts of two classes. The figure counts right and wrong rows by confidence."
            ),
            header=("row", "id", "label", "predicted", "probability", "probability_of_label", "text"),
            rows=rows,
            numbers={"wrong": wrong, "surest": rows[0][4] if rows else None},
            figure=_by_confidence(said == subject.labels, sure),
        )


def confusion(subject: Subject, probabilities: NDArray[np.float32]) -> Finding:
    """Counts of every pair of true and predicted class; the figure shows shares of the true class's rows."""
    cells = confusion_matrix(subject.labels, probabilities.argmax(-1), len(subject.classes))
    shown = _most_confused(subject, cells)
    names = [subject.classes[each] for each in shown]
    support = np.where(cells.sum(1), cells.sum(1), np.nan)
    part = "" if len(shown) == len(subject.classes) else f", the {MOST_DRAWN} most confused classes"
    return Finding(
        name="confusion",
        title="Confusion matrix",
        reading="Rows of each label (down) by predicted class (across); the figure divides by the label's rows.",
        header=("label", *subject.classes),
        rows=[(name, *map(int, row)) for name, row in zip(subject.classes, cells, strict=True)],
        numbers={"accuracy": float(np.trace(cells) / cells.sum())},
        figure=Heatmap(
            title=f"Share of each class's rows by prediction ({subject.split}{part})",
            row_axis="label",
            column_axis="predicted",
            rows=names,
            columns=names,
            values=(cells / support[:, None])[np.ix_(shown, shown)],
        ),
    )


def pairs(subject: Subject, probabilities: NDArray[np.float32]) -> Finding:
    """The pairs of classes that are taken for each other most often."""
    cells = confusion_matrix(subject.labels, probabilities.argmax(-1), len(subject.classes))
    found = confused_pairs(cells, _MOST_PAIRS)
    rows = [
        (
            subject.classes[one.label],
            subject.classes[one.predicted],
            one.rows,
            one.share,
            int(cells[one.predicted, one.label]),
        )
        for one in found
    ]
    return Finding(
        name="confused-pairs",
        title="Most confused pairs",
        reading=(
            "Rows of `label` that are said to be `predicted`, their share of the label's rows, and how many "
            "rows go the other way."
        ),
        header=("label", "predicted", "rows", "share", "rows_the_other_way"),
        rows=rows,
        numbers={"most_confused": list(rows[0][:3]) if rows else None},
    )


def by_class(subject: Subject, probabilities: NDArray[np.float32]) -> Finding:
    """Precision, recall and F1 of every class."""
    scores = class_scores(subject.labels, probabilities.argmax(-1), len(subject.classes))
    columns = (scores.precision, scores.recall, scores.f1, scores.support, scores.predicted)
    occurs = scores.support > 0
    hardest = int(np.where(occurs, scores.f1, np.inf).argmin())
    shown = subject.largest(scores.support)
    part = "" if len(shown) == len(subject.classes) else f", the {MOST_DRAWN} largest classes"
    return Finding(
        name="classes",
        title="Scores by class",
        reading="Of the ensemble of seeds; a class without rows, or that is never predicted, has scores of 0.",
        header=("class", "precision", "recall", "f1", "support", "predicted"),
        rows=[
            (name, *(column[place].item() for column in columns))
            for place, name in enumerate(subject.classes)
        ],
        numbers={"hardest": subject.classes[hardest], "hardest_f1": float(scores.f1[hardest])},
        figure=BarChart(
            title=f"F1 by class ({subject.split}{part})",
            axis="F1",
            names=[f"{subject.classes[each]} ({scores.support[each]})" for each in shown],
            groups={"F1": Bars(scores.f1[shown])},
        ),
    )


def calibration(subject: Subject, probabilities: NDArray[np.float32]) -> Finding:
    """Accuracy beside confidence, bin by bin."""
    found = reliability(subject.labels, probabilities)
    bins = len(found.rows)
    return Finding(
        name="reliability",
        title="Reliability",
        reading=(
            "Rows by the ensemble's highest probability, in 15 bins of equal width: where accuracy is below "
            "confidence, it is too sure."
        ),
        header=("from", "to", "rows", "confidence", "accuracy"),
        rows=[
            (place / bins, (place + 1) / bins, *_cells(rows, confidence, accuracy))
            for place, (rows, confidence, accuracy) in enumerate(
                zip(found.rows, found.confidence, found.accuracy, strict=True)
            )
        ],
        numbers={"ece": expected_calibration_error(subject.labels, probabilities)},
        figure=ReliabilityDiagram(
            title=f"Reliability ({subject.split})",
            rows=found.rows,
            confidence=found.confidence,
            accuracy=found.accuracy,
        ),
    )


def _cells(rows: np.int64, confidence: np.float64, accuracy: np.float64) -> Sequence[float | None]:
    return (int(rows), float(confidence), float(accuracy)) if rows else (0, None, None)


def _most_confused(subject: Subject, cells: NDArray[np.int64]) -> NDArray[np.int64]:
    """The classes that a picture shows: those of most errors, on either side."""
    hits = np.diagonal(cells)
    return subject.largest(cells.sum(0) + cells.sum(1) - 2 * hits)


def _by_confidence(right: NDArray[np.bool_], sure: NDArray[np.float32]) -> BarChart:
    bin_of = np.clip((sure * _CONFIDENCE_BINS).astype(np.int64), 0, _CONFIDENCE_BINS - 1)
    counts = {
        name: Bars(np.bincount(bin_of[rows], minlength=_CONFIDENCE_BINS).astype(np.float64))
        for name, rows in (("right", right), ("wrong", ~right))
    }
    names = [f"{place / 10:.1f} to {(place + 1) / 10:.1f}" for place in range(_CONFIDENCE_BINS)]
    return BarChart("Right and wrong rows by confidence", "rows", names, counts)

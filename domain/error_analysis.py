"""Where a classifier errs: by class, by pair of classes, by confidence."""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.metrics import ECE_BINS, Classes, Floats, calibration_gaps, confusion_matrix


@attrs.frozen(eq=False)
class ClassScores:
    """Each class's scores, (classes,) each.

    Attributes:
        precision: share of the rows predicted as the class that are of it; 0 where none is.
        recall: share of the rows of the class that are predicted as it; 0 where there is none.
        f1: their harmonic mean; 0 where both are 0.
        support: rows of the class.
        predicted: rows predicted as the class.
    """

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]
    support: Classes
    predicted: Classes


@attrs.frozen
class ConfusedPair:
    """Rows of one class that are taken for another.

    Attributes:
        label: the true class.
        predicted: what is said instead.
        rows: how many.
        share: of the true class's rows, 0 to 1.
    """

    label: int
    predicted: int
    rows: int
    share: float


@attrs.frozen(eq=False)
class Reliability:
    """How often a classifier is right, by how sure it is (Guo et al. 2017), (bins,) each.

    Attributes:
        rows: rows whose highest probability falls into (i / bins, (i + 1) / bins].
        confidence: their mean highest probability; NaN in an empty bin.
        accuracy: the share of them that is right; NaN in an empty bin.
    """

    rows: Classes
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]


def class_scores(labels: Classes, predictions: Classes, classes: int) -> ClassScores:
    """Scores of every class from labels and predictions (rows,).

    Raises:
        UsageError: no rows, or lengths that differ.
    """
    cells = confusion_matrix(labels, predictions, classes)
    hits, support, predicted = np.diagonal(cells), cells.sum(1), cells.sum(0)
    return ClassScores(
        precision=hits / np.maximum(predicted, 1),
        recall=hits / np.maximum(support, 1),
        f1=2 * hits / np.maximum(support + predicted, 1),
        support=support,
        predicted=predicted,
    )


def confused_pairs(cells: Classes, most: int) -> list[ConfusedPair]:
    """The largest cells off the diagonal of a confusion matrix (classes, classes), largest first.

    Ties stand in the order of the classes; pairs that never occur are left out.
    """
    wrong = cells - np.diag(np.diagonal(cells))
    support = cells.sum(1)
    largest = np.argsort(-wrong, axis=None, kind="stable")[:most]
    places = zip(*np.unravel_index(largest, cells.shape), strict=True)
    return [
        ConfusedPair(
            int(label), int(said), int(wrong[label, said]), float(wrong[label, said] / support[label])
        )
        for label, said in places
        if wrong[label, said]
    ]


def confident_errors(labels: Classes, probabilities: Floats, most: int) -> NDArray[np.int64]:
    """Positions of the wrong rows with the highest probabilities, surest first; ties in order of the rows.

    Args:
        labels: (rows,).
        probabilities: (rows, classes).
        most: how many at most.
    """
    wrong = np.flatnonzero(probabilities.argmax(-1) != labels)
    order = np.argsort(-probabilities[wrong].max(-1), kind="stable")
    return wrong[order][:most].astype(np.int64)


def reliability(labels: Classes, probabilities: Floats, bins: int = ECE_BINS) -> Reliability:
    """Confidence beside accuracy in the bins of `expected_calibration_error`.

    Args:
        labels: (rows,).
        probabilities: (rows, classes), each row summing to 1.
        bins: how many.
    """
    bin_of, _ = calibration_gaps(labels, probabilities, bins)
    rows = np.bincount(bin_of, minlength=bins)
    filled = np.where(rows, rows, np.nan)
    confidence = np.bincount(bin_of, weights=probabilities.max(-1), minlength=bins)
    hits = np.bincount(bin_of, weights=probabilities.argmax(-1) == labels, minlength=bins)
    return Reliability(rows, confidence / filled, hits / filled)

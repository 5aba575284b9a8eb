"""Classification metrics, each 0 to 1.

F1 follows scikit-learn's ``zero_division=0``: a class that is never hit has F1 0, and macro F1 averages the
union of the true and the predicted classes; a class that stands in neither does not count.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.errors import UsageError

Classes = NDArray[np.int64]
Floats = NDArray[np.floating]

ECE_BINS = 15


def accuracy(labels: Classes, predictions: Classes) -> float:
    """Share of rows (rows,) whose prediction is the label.

    Raises:
        UsageError: no rows, or lengths that differ; the same for every metric here.
    """
    _check_rows(labels, predictions)
    return float(np.mean(labels == predictions))


def macro_f1(labels: Classes, predictions: Classes) -> float:
    """F1 averaged over classes, each counting alike."""
    return float(f1_averages(*_counts(labels, predictions))[0])


def weighted_f1(labels: Classes, predictions: Classes) -> float:
    """F1 averaged over classes, each counting by its true rows."""
    return float(f1_averages(*_counts(labels, predictions))[1])


def f1_averages(hits: Floats, true: Floats, predicted: Floats) -> tuple[Floats, Floats]:
    """Macro and weighted F1 from counts.

    Args:
        hits: (..., classes) rows of a class that were predicted as it.
        true: (..., classes) rows of a class.
        predicted: (..., classes) rows predicted as a class.

    Returns:
        Two arrays (...,).
    """
    either = true + predicted
    f1 = 2 * hits / np.maximum(either, 1)
    macro = f1.sum(-1) / np.maximum((either > 0).sum(-1), 1)
    weighted = (f1 * true).sum(-1) / np.maximum(true.sum(-1), 1)
    return macro, weighted


def confusion_matrix(labels: Classes, predictions: Classes, classes: int) -> NDArray[np.int64]:
    """(classes, classes) counts: true classes down, predicted ones across."""
    _check_rows(labels, predictions)
    cells = np.bincount(labels * classes + predictions, minlength=classes * classes)
    return cells.reshape(classes, classes)


def expected_calibration_error(labels: Classes, probabilities: Floats, bins: int = ECE_BINS) -> float:
    """Mean distance between confidence and accuracy over equal-width bins (Guo et al. 2017).

    Args:
        labels: (rows,).
        probabilities: (rows, classes), each row summing to 1.
        bins: how many bins (i / bins, (i + 1) / bins] the highest probability falls into.
    """
    _check_rows(labels, probabilities)
    bin_of, gap = calibration_gaps(labels, probabilities, bins)
    return float(np.abs(np.bincount(bin_of, weights=gap, minlength=bins)).sum() / len(labels))


def calibration_gaps(
    labels: Classes, probabilities: Floats, bins: int = ECE_BINS
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Each row's bin, (rows,) in [0, bins), and its hit (0 or 1) less its confidence, (rows,).

    Calibration error is sum over bins of |sum of the gaps in the bin|, over rows.
    """
    confidence = probabilities.max(-1).astype(np.float64)
    hit = probabilities.argmax(-1) == labels
    bin_of = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    return bin_of, hit - confidence


def _counts(labels: Classes, predictions: Classes) -> tuple[Floats, Floats, Floats]:
    _check_rows(labels, predictions)
    classes = int(max(labels.max(), predictions.max())) + 1
    sides = (labels[labels == predictions], labels, predictions)
    hits, true, predicted = (np.bincount(side, minlength=classes).astype(np.float64) for side in sides)
    return hits, true, predicted


def _check_rows(labels: Classes, scored: NDArray[np.generic]) -> None:
    if len(labels) != len(scored) or not len(labels):
        raise UsageError(f"metrics: {len(labels)} labels for {len(scored)} predictions; score every row once")

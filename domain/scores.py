"""What a classifier said of each example, and what that is worth, for one or several runs (seeds) of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.metrics import accuracy, expected_calibration_error, macro_f1, weighted_f1
from fusionapp.domain.statistics.bootstrap import (
    Difference,
    Replicates,
    bootstrap_classification,
    interval,
    paired_difference,
)
from fusionapp.domain.statistics.sign_flips import differing_units

Labels = NDArray[np.int64]

PREDICTED_METRICS: Mapping[str, Callable[[Labels, Labels], float]] = {
    "accuracy": accuracy,
    "macro_f1": macro_f1,
    "weighted_f1": weighted_f1,
}


@attrs.frozen(eq=False)
class Scores:
    """Predictions of one or several runs on the same examples.

    Attributes:
        predicted: (runs, rows) int64 class indices.
        probabilities: (runs, rows, classes) float32, or None where a model has none.
    """

    predicted: Labels
    probabilities: NDArray[np.float32] | None = None

    @classmethod
    def of(cls, values: NDArray[np.float32], probabilistic: bool = True) -> Scores:
        """Scores from (runs, rows, classes) probabilities, or decision values that are none."""
        return cls(values.argmax(axis=-1).astype(np.int64), values if probabilistic else None)


@attrs.frozen
class Summary:
    """One metric over runs.

    Attributes:
        mean: over runs.
        sd: sample standard deviation over runs (ddof 1); 0 for a single run.
        low: lower end of the 95 % interval of the mean, by bootstrap over examples.
        high: upper end.
    """

    mean: float
    sd: float
    low: float
    high: float


@attrs.frozen(eq=False)
class Judged:
    """Scores with what they are worth.

    Attributes:
        metrics: by name: accuracy, macro_f1, weighted_f1 and, where there are probabilities, ece.
        accuracy_replicates: (draws,) bootstrap replicates of the mean accuracy, for paired comparisons.
        right: (rows,) share of the runs that were right about each row.
    """

    metrics: Mapping[str, Summary]
    accuracy_replicates: Replicates
    right: NDArray[np.float64]


def judge(scores: Scores, labels: Labels, draws: int) -> Judged:
    """Every metric with its interval. The same rows and draws give replicates that pair with each other's."""
    replicates = bootstrap_classification(labels, scores.predicted, scores.probabilities, draws)
    values = {
        name: np.array([metric(labels, run) for run in scores.predicted])
        for name, metric in PREDICTED_METRICS.items()
    }
    if scores.probabilities is not None:
        values["ece"] = np.array([expected_calibration_error(labels, run) for run in scores.probabilities])
    return Judged(
        {name: _summarise(value, replicates[name]) for name, value in values.items()},
        replicates["accuracy"],
        (scores.predicted == labels).mean(axis=0),
    )


def compare(first: Judged, second: Judged) -> Difference:
    """The difference of two mean accuracies over the same rows and draws."""
    return paired_difference(
        first.accuracy_replicates,
        second.accuracy_replicates,
        first.metrics["accuracy"].mean,
        second.metrics["accuracy"].mean,
        differing_units(first.right, second.right),
    )


def ensemble(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of several runs' probabilities: (runs, rows, classes) to (1, rows, classes)."""
    mean: NDArray[np.float32] = probabilities.mean(axis=0, keepdims=True, dtype=np.float64).astype(np.float32)
    return mean


def deviation(values: NDArray[np.float64]) -> float:
    """Sample standard deviation (ddof 1); 0 for a single value."""
    return float(values.std(ddof=1)) if len(values) > 1 else 0.0


def _summarise(values: NDArray[np.float64], replicates: Replicates) -> Summary:
    bounds = interval(replicates)
    return Summary(float(values.mean()), deviation(values), bounds.low, bounds.high)

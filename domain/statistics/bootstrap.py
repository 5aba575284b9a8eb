"""Paired bootstrap over examples of seed-mean scores (Efron and Tibshirani 1993, percentile intervals).

Two results over the same rows are paired by construction: the same `rows`, `draws` and `seed` draw the very
same examples, so replicate i of one stands beside replicate i of the other.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.errors import UsageError
from fusionapp.domain.metrics import ECE_BINS, calibration_gaps, f1_averages
from fusionapp.domain.statistics.sign_flips import least_p_value

DRAWS = 10_000
_CELLS_AT_ONCE = 4_000_000  # weights held at a time: 16 MB, whatever the rows and draws

Replicates = NDArray[np.float64]


@attrs.frozen
class Interval:
    """A 95 % percentile interval.

    Attributes:
        low: 2.5th percentile of the replicates.
        high: 97.5th percentile.
    """

    low: float
    high: float


@attrs.frozen
class Difference:
    """How far one result stands from another over the same rows.

    Attributes:
        estimate: the first's score less the second's.
        interval: of that difference.
        p_value: two-sided, of no difference; at least 2 / (draws + 1), and what `least_p_value` says.
    """

    estimate: float
    interval: Interval
    p_value: float


def resample_weights(rows: int, draws: int = DRAWS, seed: int = 0) -> Iterator[NDArray[np.float32]]:
    """How often each row stands in each draw of `rows` rows with replacement, (chunk, rows) at a time.

    Raises:
        UsageError: no rows.
    """
    if rows < 1:
        raise UsageError("bootstrap: no rows to draw from; evaluate a split that has some")
    rng = np.random.default_rng(seed)
    chunk = max(1, _CELLS_AT_ONCE // rows)
    for start in range(0, draws, chunk):
        size = min(chunk, draws - start)
        drawn = rng.integers(0, rows, size=(size, rows))
        drawn += np.arange(size)[:, None] * rows
        yield np.bincount(drawn.ravel(), minlength=size * rows).reshape(size, rows).astype(np.float32)


def bootstrap_mean(scores: NDArray[np.floating], draws: int = DRAWS, seed: int = 0) -> Replicates:
    """Replicates (draws,) of a mean of per-example scores (seeds, rows), such as reciprocal ranks."""
    mean = np.asarray(scores, dtype=np.float64).mean(0)
    parts = [weights @ mean for weights in resample_weights(len(mean), draws, seed)]
    return _rounded(np.concatenate(parts) / len(mean))


def bootstrap_classification(
    labels: NDArray[np.int64],
    predictions: NDArray[np.int64],
    probabilities: NDArray[np.floating] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, Replicates]:
    """Replicates of the seed-mean accuracy, macro_f1, weighted_f1 and, where there are probabilities, ece.

    Args:
        labels: (rows,).
        predictions: (seeds, rows).
        probabilities: (seeds, rows, classes); None for a model without them.
        draws: how many resamples.
        seed: of the draws.

    Returns:
        (draws,) each, by metric.

    Raises:
        UsageError: no rows, or shapes that do not match.
    """
    if predictions.ndim != 2 or predictions.shape[1] != len(labels):
        raise UsageError(f"bootstrap: predictions {predictions.shape}, not (seeds, {len(labels)} rows)")
    columns = _count_columns(labels, predictions, probabilities)
    seeds, classes = len(predictions), columns["true"].shape[1]
    table = np.concatenate(list(columns.values()), axis=1)
    ends = np.cumsum([part.shape[1] for part in columns.values()])[:-1]
    chunks: list[dict[str, NDArray[np.floating]]] = []
    for weights in resample_weights(len(labels), draws, seed):
        sums = dict(zip(columns, np.split(weights @ table, ends, axis=1), strict=True))
        hits, predicted = (sums[k].reshape(-1, seeds, classes) for k in ("hits", "predicted"))
        macro, weighted = f1_averages(hits, sums["true"][:, None], predicted)
        scores = {
            "accuracy": hits.sum(-1, dtype=np.float64) / len(labels),
            "macro_f1": macro,
            "weighted_f1": weighted,
        }
        if probabilities is not None:
            gaps = sums["gaps"].reshape(-1, seeds, ECE_BINS)
            scores["ece"] = np.abs(gaps).sum(-1) / len(labels)
        chunks.append(scores)
    return {k: _rounded(np.concatenate([c[k] for c in chunks]).mean(-1, dtype=np.float64)) for k in chunks[0]}


def _rounded(replicates: NDArray[np.floating]) -> Replicates:
    """Shares of seeds are no binary fractions: unrounded, a tie would fall on either side of 0 by chance."""
    return replicates.astype(np.float64).round(12)


def interval(replicates: Replicates) -> Interval:
    """The 95 % percentile interval of replicates (draws,)."""
    low, high = np.percentile(replicates, [2.5, 97.5])
    return Interval(float(low), float(high))


def paired_difference(
    first: Replicates, second: Replicates, first_score: float, second_score: float, differing: int
) -> Difference:
    """Compare two results by replicates (draws,) drawn with the same rows, draws and seed.

    The p-value inverts the percentile interval: twice the smaller share of replicates on either side of 0,
    one added so that no number of draws claims certainty, and no less than that many rows can show.

    Args:
        first: of the one.
        second: of the other.
        first_score: what `first` are replicates of.
        second_score: what `second` are replicates of.
        differing: on how many rows the two differ (`sign_flips.differing_units`).

    Raises:
        UsageError: replicates of different lengths.
    """
    if len(first) != len(second):
        raise UsageError(f"bootstrap: {len(first)} and {len(second)} draws are not paired; draw both alike")
    difference = _rounded(first - second)
    tail = min(np.count_nonzero(difference <= 0), np.count_nonzero(difference >= 0))
    p_value = min(1.0, 2 * (tail + 1) / (len(difference) + 1))
    return Difference(
        first_score - second_score, interval(difference), max(p_value, least_p_value(differing))
    )


def _count_columns(
    labels: NDArray[np.int64],
    predictions: NDArray[np.int64],
    probabilities: NDArray[np.floating] | None,
) -> dict[str, NDArray[np.float32]]:
    """Row-wise terms whose weighted sums are the counts that the metrics need, (rows, columns) each."""
    classes = int(max(labels.max(), predictions.max())) + 1
    one_hot = np.eye(classes, dtype=np.float32)
    columns = {
        "true": one_hot[labels],
        "hits": np.concatenate([one_hot[labels] * (p == labels)[:, None] for p in predictions], axis=1),
        "predicted": np.concatenate([one_hot[p] for p in predictions], axis=1),
    }
    if probabilities is not None:
        bins = np.eye(ECE_BINS, dtype=np.float32)
        gaps = (calibration_gaps(labels, each) for each in probabilities)
        columns["gaps"] = np.concatenate(
            [bins[bin_of] * gap.astype(np.float32)[:, None] for bin_of, gap in gaps], axis=1
        )
    return columns

"""Whether foretold success comes true: calibration of a real quality in [0, 1]."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.errors import UsageError
from fusionapp.domain.metrics import ECE_BINS
from fusionapp.domain.statistics.bootstrap import DRAWS, Replicates, resample_weights

Floats = NDArray[np.floating]


@attrs.frozen
class ReliabilityBin:
    """Answers whose foretold success lies in (low, high]; the first bin holds `low` too.

    Attributes:
        low: left end.
        high: right end.
        answers: how many.
        predicted: their mean foretold success; NaN where there is none.
        quality: their mean quality; NaN where there is none.
    """

    low: float
    high: float
    answers: int
    predicted: float
    quality: float


def reliability(success: Floats, quality: Floats, bins: int = ECE_BINS) -> Sequence[ReliabilityBin]:
    """The reliability table over equal-width bins of foretold success.

    Args:
        success: (prompts, models) or (answers,) in [0, 1].
        quality: the same shape; answers of unknown quality (NaN) do not count.
        bins: how many.

    Raises:
        UsageError: shapes that differ, or no known answer; the same for the calibration error.
    """
    place, predicted, truth = _binned(success, quality, bins)
    known = ~np.isnan(truth)
    place, predicted, truth = place[known], predicted[known], truth[known]
    counts = np.bincount(place, minlength=bins)
    sums = (np.bincount(place, weights=each, minlength=bins) for each in (predicted, truth))
    means = [np.divide(each, counts, out=np.full(bins, np.nan), where=counts > 0) for each in sums]
    return [
        ReliabilityBin(i / bins, (i + 1) / bins, int(counts[i]), float(means[0][i]), float(means[1][i]))
        for i in range(bins)
    ]


def success_error(success: Floats, quality: Floats, bins: int = ECE_BINS) -> float:
    """Expected calibration error: over bins, |mean foretold - mean quality|, weighed by answers.

    This is Guo et al.'s (2017) with the quality, any number in [0, 1], in place of right or wrong.
    """
    table = [row for row in reliability(success, quality, bins) if row.answers]
    gaps = [row.answers * abs(row.predicted - row.quality) for row in table]
    return float(sum(gaps) / sum(row.answers for row in table))


def bootstrap_success_error(
    success: Floats, quality: Floats, bins: int = ECE_BINS, draws: int = DRAWS, seed: int = 0
) -> Replicates:
    """(draws,) calibration errors over resampled prompts, all answers of a prompt drawn together.

    Args:
        success: (prompts, models).
        quality: (prompts, models).
        bins: how many.
        draws: how many resamples.
        seed: of the draws; the same one pairs with every other bootstrap over these prompts.

    Returns:
        NaN in a draw without a known answer.
    """
    prompts, models = success.shape
    place, predicted, truth = _binned(success, quality, bins)
    known = ~np.isnan(truth)
    row = np.repeat(np.arange(prompts), models)
    cell = (row * bins + place)[known]
    gaps = np.bincount(cell, weights=(predicted - truth)[known], minlength=prompts * bins)
    counts = np.bincount(row[known], minlength=prompts).astype(np.float64)
    table = np.column_stack([gaps.reshape(prompts, bins), counts])
    parts = []
    for weights in resample_weights(prompts, draws, seed):
        sums = weights @ table
        answers = sums[:, -1]
        error = np.abs(sums[:, :-1]).sum(1)
        parts.append(np.divide(error, answers, out=np.full_like(answers, np.nan), where=answers > 0))
    return np.concatenate(parts).round(12)


def _binned(
    success: Floats, quality: Floats, bins: int
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    if success.shape != quality.shape:
        raise UsageError(f"reliability: success {success.shape} and quality {quality.shape} differ in shape")
    predicted, truth = (np.asarray(each, dtype=np.float64).ravel() for each in (success, quality))
    if np.isnan(truth).all():
        raise UsageError("reliability: no answer's quality is known; evaluate prompts with answers")
    place = np.clip(np.ceil(predicted * bins).astype(np.int64) - 1, 0, bins - 1)
    return place, predicted, truth

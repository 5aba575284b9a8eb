"""From a router's scores to calibrated expected quality: isotonic regression, or one temperature."""

from __future__ import annotations

from math import exp, log

import attrs
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression, minimize_scalar

from fusionapp.domain.calibration import HIGHEST_TEMPERATURE, LOWEST_TEMPERATURE
from fusionapp.domain.errors import UsageError
from fusionapp.domain.routing.mapping import logit_of_score

Floats = NDArray[np.floating]


@attrs.frozen(eq=False)
class Isotonic:
    """A non-decreasing broken line from scores to success, flat beyond its ends.

    Attributes:
        scores: (corners,) float64, ascending.
        success: (corners,) float64 in [0, 1], non-decreasing.
    """

    scores: NDArray[np.float64]
    success: NDArray[np.float64]

    @classmethod
    def fit(cls, scores: Floats, quality: Floats) -> Isotonic:
        """The non-decreasing values nearest to the qualities in squares, by pool-adjacent-violators.

        Equal scores are averaged first, and lines join the values, as in scikit-learn's IsotonicRegression.

        Args:
            scores: (prompts, models) or (answers,), of rows that the router was not trained on.
            quality: the same shape, in [0, 1]; NaN where unknown.

        Raises:
            UsageError: no known quality.
        """
        x, y = _known(scores, quality)
        corners, place, counts = np.unique(x, return_inverse=True, return_counts=True)
        means = np.bincount(place, weights=y) / counts
        fitted = isotonic_regression(means, weights=counts).x
        inner = (fitted[1:-1] == fitted[:-2]) & (fitted[1:-1] == fitted[2:])
        kept = np.concatenate([[True], ~inner, [True]])[: len(fitted)]
        return cls(corners[kept], np.clip(fitted[kept], 0.0, 1.0))

    def __call__(self, scores: Floats) -> NDArray[np.float32]:
        """Calibrated success of scores (...,), float32 in [0, 1]."""
        return np.interp(scores, self.scores, self.success).astype(np.float32)


@attrs.frozen
class Temperature:
    """success = sigmoid(2 artanh(score) / T): at T = 1 the quality that the score itself stands for.

    Attributes:
        temperature: T > 0; above 1 brings success nearer to 1/2.
    """

    temperature: float

    @classmethod
    def fit(cls, scores: Floats, quality: Floats) -> Temperature:
        """The T that minimises the cross-entropy of success against the qualities (Guo et al. 2017).

        Args:
            scores: (prompts, models) or (answers,) in [-1, 1], of rows that the router was not trained on.
            quality: the same shape, in [0, 1]; NaN where unknown.

        Returns:
            T within .05 and 20, as for classes; 1 where all scores are 0, which no T changes.

        Raises:
            UsageError: no known quality.
        """
        x, y = _known(scores, quality)
        logits = 2 * logit_of_score(x)
        if not logits.any():
            return cls(1.0)

        def loss(log_temperature: float) -> float:
            scaled = logits / exp(log_temperature)
            return float(np.mean(np.logaddexp(0.0, scaled) - y * scaled))

        bounds = (log(LOWEST_TEMPERATURE), log(HIGHEST_TEMPERATURE))
        found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6})
        return cls(exp(found.x))

    def __call__(self, scores: Floats) -> NDArray[np.float32]:
        """Calibrated success of scores (...,) in [-1, 1], float32 in [0, 1]."""
        half = logit_of_score(np.asarray(scores, dtype=np.float64)) / self.temperature
        return ((1 + np.tanh(half)) / 2).astype(np.float32)


def _known(scores: Floats, quality: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if scores.shape != quality.shape:
        raise UsageError(f"calibration: scores {scores.shape} and quality {quality.shape} differ in shape")
    known = ~np.isnan(quality)
    if not known.any():
        raise UsageError("calibration: no answer's quality is known; validation needs prompts with answers")
    return np.asarray(scores[known], dtype=np.float64), np.asarray(quality[known], dtype=np.float64)

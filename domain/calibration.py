"""One number per model: the scale of scores, or the temperature of logits, that minimises cross-entropy."""

from __future__ import annotations

from math import exp, log
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from fusionapp.domain.losses import cross_entropy

LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 0.05, 20.0
_SCALES = 1e-3, 1e3


def fit_scale(
    scores: NDArray[np.float32],
    labels: NDArray[np.int64],
    class_weights: NDArray[np.float32] | None = None,
    bounds: tuple[float, float] = _SCALES,
) -> float:
    """The s > 0 that minimises the cross-entropy of softmax(s * scores), with Platt's targets.

    A row's class is given (rows + 1) / (rows + classes) rather than 1, and each other class 1 / (rows + classes)
    rather than 0 (Platt 1999, for two classes): few rows that are all right leave room for doubt, where a target
    of 1 would make the scale as large as it may be, and every probability 1. Over many rows it changes nothing.

    The loss is convex in s, so it has one valley in ln s too, which Brent's method searches: a wrong order of
    magnitude costs a few evaluations more.

    Args:
        scores: (rows, classes) decision values or logits.
        labels: (rows,) int64 in [0, classes).
        class_weights: (classes,), as in `cross_entropy`.
        bounds: smallest and largest s.
    """
    wide = np.asarray(scores, dtype=np.float64)
    rows, classes = wide.shape
    doubt = classes / (rows + classes)

    def loss(log_scale: float) -> float:
        entropy: NDArray[Any] = cross_entropy(wide * exp(log_scale), labels, class_weights, doubt)
        return float(entropy)

    found = minimize_scalar(
        loss, bounds=(log(bounds[0]), log(bounds[1])), method="bounded", options={"xatol": 1e-6}
    )
    return exp(found.x)


def fit_temperature(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """The T that minimises the cross-entropy of softmax(logits / T) (Guo et al. 2017); targets as in `fit_scale`.

    Args:
        logits: (rows, classes) on rows that the model was not trained on.
        labels: (rows,) int64 in [0, classes).

    Returns:
        Within 0.05 and 20, so that a handful of rows, all wrong or all nearly tied, cannot make probabilities
        absurd.
    """
    return 1 / fit_scale(logits, labels, bounds=(1 / HIGHEST_TEMPERATURE, 1 / LOWEST_TEMPERATURE))

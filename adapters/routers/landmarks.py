"""Kernel ridge over landmarks (Nystroem; Williams and Seeger 2001): exact where every row is one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fusionapp.adapters.routers.ridge import Judge, Ridge, Wide, fit_ridge

Floats = NDArray[np.float32]
_FLAT = 1e-6
"""Axes whose share of the largest is below are float32's rounding."""


def choose_landmarks(rows: int, most: int) -> NDArray[np.int64]:
    """Up to `most` of the rows, drawn without replacement, always the same ones; ascending."""
    if rows <= most:
        return np.arange(rows, dtype=np.int64)
    return np.sort(np.random.default_rng(0).choice(rows, most, replace=False)).astype(np.int64)


def fit_over_landmarks(
    kernel: Floats, landmarks: NDArray[np.int64], target: Wide, judge: Judge | None = None
) -> tuple[Floats, Ridge]:
    """Weights of landmarks, whose predictions are kernel @ weights, and the ridge behind them.

    Args:
        kernel: (rows, landmarks) between all rows and the landmarks.
        landmarks: (landmarks,) which of the rows they are.
        target: (rows, models) centred qualities; NaN where unknown.
        judge: of weights of landmarks, by which the penalty is chosen; None for the rows left out.
    """
    spread, axes = np.linalg.eigh(kernel[landmarks].astype(np.float64))
    wide = spread > _FLAT * max(spread[-1], 1e-12)
    whitening = axes[:, wide] / np.sqrt(spread[wide])
    of_columns = None if judge is None else lambda weights: judge(whitening @ weights)
    ridge = fit_ridge(kernel @ whitening.astype(np.float32), target, of_columns)
    weights: Floats = (whitening @ ridge.weights).astype(np.float32)
    return weights, ridge


def similarity(cosines: Floats, gamma: float) -> Floats:
    """exp(-gamma |a - b|^2) of unit vectors by their cosines, in place."""
    cosines -= np.float32(1)
    cosines *= np.float32(2 * gamma)
    return np.exp(cosines, out=cosines)

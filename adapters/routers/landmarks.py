"""Kernel ridge over landmarks (Nystroem; Williams and Seeger 2001): exact where every row is one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular

from fusionapp.adapters.routers.ridge import Judge, Ridge, Wide, fit_ridge

Floats = NDArray[np.float32]
_JITTER = 1e-5
"""Of the mean diagonal, added to it: landmarks that are alike are told apart by float32's rounding alone."""


def draw_rows(rows: int, most: int) -> NDArray[np.int64]:
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
    among = kernel[landmarks].astype(np.float64)
    among.flat[:: len(among) + 1] += max(_JITTER * float(np.trace(among)) / len(among), 1e-12)
    factor = cholesky(among, lower=True, overwrite_a=True, check_finite=False)

    def of_landmarks(weights: Wide) -> Wide:
        solved: Wide = solve_triangular(factor, weights, lower=True, trans="T", check_finite=False)
        return solved

    columns = solve_triangular(factor, kernel.T.astype(np.float64), lower=True, check_finite=False).T
    of_columns = None if judge is None else lambda weights: judge(of_landmarks(weights))
    ridge = fit_ridge(columns.astype(np.float32), target, of_columns)
    return of_landmarks(ridge.weights).astype(np.float32), ridge


def similarity(points: Floats, landmarks: Floats, gamma: float) -> Floats:
    """(rows, landmarks): exp(-gamma |x - y|^2) of points (rows, dim) and landmarks (landmarks, dim)."""
    # One product makes the whole exponent: passes over the result would take as long.
    scale = np.float32(2 * gamma)
    left = np.column_stack([points, half_squares(points), np.ones(len(points), dtype=np.float32)]) * scale
    right = np.column_stack([landmarks, -np.ones(len(landmarks), dtype=np.float32), -half_squares(landmarks)])
    near = left @ right.T
    np.minimum(near, np.float32(0), out=near)  # rounding may put a point at less than no distance
    alike: Floats = np.exp(near, out=near)
    return alike


def half_squares(points: Floats) -> Floats:
    """(rows,) half of each one's squared length: |x - y|^2 / 2 is these less x · y."""
    halves: Floats = np.einsum("rd,rd->r", points, points) / np.float32(2)
    return halves

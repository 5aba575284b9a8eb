"""Ridge regression of every model's quality at once, judged by leaving each prompt out in turn.

The error that leaving a row out would give has a closed form (Allen 1974; Hastie et al., "The Elements of
Statistical Learning", 7.10), so every prompt gets a prediction by weights that did not see it, at the cost of one
fit and not of as many as there are prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

PENALTIES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
Floats = NDArray[np.float32]
Wide = NDArray[np.float64]
Judge = Callable[[Wide], float]
"""The error of weights (rows or columns, models) on validation."""


@attrs.frozen(eq=False)
class Ridge:
    """A fitted ridge.

    Attributes:
        weights: (columns, models) float64, of centred qualities.
        left_out: (rows, models) float64, what each row is predicted as by the others. Where a model's answer is
            not known no weights saw it, and they speak for it as they are.
        error: mean squared error of `left_out` over known answers.
        penalty: the one chosen.
    """

    weights: Wide
    left_out: Wide
    error: float
    penalty: float


@attrs.frozen(eq=False)
class _Rotated:
    """Rows along the axes on which their Gram matrix is diagonal, so that each penalty costs next to nothing."""

    rows: NDArray[np.intp]
    models: NDArray[np.intp]
    axes: Wide
    spread: Wide
    along: Wide
    projected: Wide
    target: Wide

    def at(self, penalty: float) -> tuple[Wide, Wide]:
        """Weights (columns, models) and left-out predictions (rows, models)."""
        shrunk = 1 / (self.spread + penalty)
        inner = shrunk[:, None] * self.projected
        leverage = np.minimum(np.square(self.along) @ shrunk, 1 - 1e-6)
        left_out = self.target - (self.target - self.along @ inner) / (1 - leverage)[:, None]
        return self.axes @ inner, left_out


def fit_ridge(columns: Floats, target: Wide, judge: Judge | None = None) -> Ridge:
    """The ridge whose penalty leaves the least error on rows left out, over all models together.

    Models that answered the same prompts are fitted as one.

    Args:
        columns: (rows, columns).
        target: (rows, models) centred qualities; NaN where a model did not answer.
        judge: by which the penalty is chosen; None for the rows left out.
    """
    known = ~np.isnan(target)
    groups = [_rotate(columns, target, models, rows) for models, rows in alike(known)]
    fitted = [_fit(groups, columns, target, known, penalty) for penalty in PENALTIES]
    return min(fitted, key=lambda ridge: ridge.error if judge is None else judge(ridge.weights))


def alike(known: NDArray[np.bool_]) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Models with the very same known prompts, and those prompts."""
    _, group = np.unique(known, axis=1, return_inverse=True)
    for number in range(int(group.max(initial=-1)) + 1):
        models = np.flatnonzero(group.ravel() == number)
        yield models, np.flatnonzero(known[:, models[0]])


def _rotate(columns: Floats, target: Wide, models: NDArray[np.intp], rows: NDArray[np.intp]) -> _Rotated:
    part = columns if len(rows) == len(columns) else columns[rows]
    spread, axes = np.linalg.eigh((part.T @ part).astype(np.float64))
    along = part @ axes
    y = target[np.ix_(rows, models)]
    return _Rotated(rows, models, axes, np.maximum(spread, 0), along, along.T @ y, y)


def _fit(
    groups: Sequence[_Rotated], columns: Floats, target: Wide, known: NDArray[np.bool_], penalty: float
) -> Ridge:
    weights = np.zeros((columns.shape[1], target.shape[1]))
    left_out = np.zeros(target.shape)
    for group in groups:
        weights[:, group.models], left_out[np.ix_(group.rows, group.models)] = group.at(penalty)
    error = float(np.square(left_out[known] - target[known]).mean())
    if not known.all():
        left_out[~known] = (columns @ weights)[~known]
    return Ridge(weights, left_out, error, penalty)

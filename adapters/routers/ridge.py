"""Ridge regression of every model's quality at once, judged by leaving each prompt out in turn.

The error that leaving a row out would give has a closed form (Allen 1974; Hastie et al., "The Elements of
Statistical Learning", 7.10), so every prompt gets a prediction by weights that did not see it, at the cost of one
fit and not of as many as there are prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.adapters.routers.directions import Directions, find_directions

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
        penalties: the ones chosen, in each group of models one for each direction.
    """

    weights: Wide
    left_out: Wide
    penalties: Sequence[Wide]


@attrs.frozen(eq=False)
class _Fit:
    """Of one group of models: weights (columns, directions), left-out (rows, directions), and penalties."""

    weights: Wide
    left_out: Wide
    penalties: Wide


@attrs.frozen(eq=False)
class _Rotated:
    """Rows along the axes on which their Gram matrix is diagonal, so that each penalty costs next to nothing."""

    group: Directions
    axes: Wide
    spread: Wide
    along: Wide
    projected: Wide
    target: Wide

    def at(self, penalty: float) -> _Fit:
        """The fit of one penalty for all directions."""
        shrunk = 1 / (self.spread + penalty)
        inner = shrunk[:, None] * self.projected
        leverage = np.minimum(np.square(self.along) @ shrunk, 1 - 1e-6)
        left_out = self.target - (self.target - self.along @ inner) / (1 - leverage)[:, None]
        return _Fit(self.axes @ inner, left_out, np.full(self.target.shape[1], penalty))

    def best(self) -> _Fit:
        """In each direction the penalty of least error on rows left out."""
        fits = [self.at(penalty) for penalty in PENALTIES]
        errors = [np.square(fit.left_out - self.target).sum(axis=0) for fit in fits]
        chosen = np.argmin(errors, axis=0)
        each = range(self.target.shape[1])
        return _Fit(
            np.column_stack([fits[chosen[one]].weights[:, one] for one in each]),
            np.column_stack([fits[chosen[one]].left_out[:, one] for one in each]),
            np.array(PENALTIES)[chosen],
        )


def fit_ridge(columns: Floats, target: Wide, judge: Judge | None = None) -> Ridge:
    """The ridge of each direction whose penalty leaves the least error on rows left out.

    Args:
        columns: (rows, columns).
        target: (rows, models) centred qualities; NaN where a model did not answer.
        judge: by which one penalty is chosen for all directions; None for the rows left out.
    """
    groups = [_rotate(columns, target, group) for group in find_directions(target)]
    if judge is None:
        return _joined(columns, target, groups, [group.best() for group in groups])
    fitted = (
        _joined(columns, target, groups, [group.at(penalty) for group in groups]) for penalty in PENALTIES
    )
    return min(fitted, key=lambda ridge: judge(ridge.weights))


def _rotate(columns: Floats, target: Wide, group: Directions) -> _Rotated:
    part = columns if len(group.rows) == len(columns) else columns[group.rows]
    spread, axes = np.linalg.eigh((part.T @ part).astype(np.float64))
    along = part @ axes
    y = group.of(target)
    return _Rotated(group, axes, np.maximum(spread, 0), along, along.T @ y, y)


def _joined(columns: Floats, target: Wide, groups: Sequence[_Rotated], fits: Sequence[_Fit]) -> Ridge:
    """The fits of all groups, turned back from directions to models."""
    weights, left_out = np.zeros((columns.shape[1], target.shape[1])), np.zeros(target.shape)
    for rotated, fit in zip(groups, fits, strict=True):
        group = rotated.group
        weights[:, group.models] = fit.weights @ group.axes.T
        left_out[np.ix_(group.rows, group.models)] = fit.left_out @ group.axes.T
    unknown = np.isnan(target)
    if unknown.any():
        left_out[unknown] = (columns @ weights)[unknown]
    return Ridge(weights, left_out, [fit.penalties for fit in fits])

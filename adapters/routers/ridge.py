"""Ridge regression of every model's quality at once, with what each prompt is predicted as by others.

A penalty is chosen by the error that leaving each row out in turn would give, which has a closed form (Allen 1974;
Hastie et al., "The Elements of Statistical Learning", 7.10). What others say of a row is told by folds all the
same. Among prompts that are alike, one that is left out alone is foretold the lower, the higher its own answer:
the mean of the others lacks it. Whatever then sorts prompts by these predictions sorts them by their answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve

from fusionapp.adapters.routers.directions import Directions, find_directions

FOLDS = 5
"""Few, so that a fold holds several of prompts that are alike, whose answers even out."""
PENALTIES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
Floats = NDArray[np.float32]
Wide = NDArray[np.float64]
Judge = Callable[[Wide], float]
"""The error of weights (rows or columns, models) on validation."""


@attrs.frozen(eq=False)
class _Rotated:
    """A group of models' ridges, along the axes on which the Gram matrix of their rows is diagonal.

    Attributes:
        directions: the group, and what its target is turned to.
        fold: (rows,) of each row.
        axes: (columns, axes) float64.
        spread: (axes,) float64, the diagonal.
        along: (rows, axes) float64, the rows on these axes.
        projected: (axes, directions) float64, `along` transposed times the target.
        target: (rows, directions) float64.
    """

    directions: Directions
    fold: NDArray[np.intp]
    axes: Wide
    spread: Wide
    along: Wide
    projected: Wide
    target: Wide

    def weights(self, penalties: Wide | float) -> Wide:
        """(axes, directions) by penalties (directions,)."""
        weights: Wide = self.projected / (self.spread[:, None] + penalties)
        return weights

    def best(self) -> Wide:
        """(directions,) the penalty of least error where each row is left out in turn."""
        best: Wide = np.array(PENALTIES)[np.argmin([self._errors(each) for each in PENALTIES], axis=0)]
        return best

    def left_out(self, penalties: Wide) -> Wide:
        """(rows, directions) by weights of the other folds."""
        told = np.empty_like(self.target)
        # Not `spread`, which comes of float32: less a fold, it might have no Cholesky factor.
        gram = self.along.T @ self.along
        for number in range(FOLDS):
            own = np.flatnonzero(self.fold == number)
            along = self.along[own]
            others = gram - along.T @ along
            projected = self.projected - along.T @ self.target[own]
            for penalty in np.unique(penalties):
                these = np.flatnonzero(penalties == penalty)
                matrix = others + penalty * np.eye(len(others))
                told[np.ix_(own, these)] = along @ solve(matrix, projected[:, these], assume_a="pos")
        return told

    def _errors(self, penalty: float) -> Wide:
        """(directions,) squares of what rows, each left out, are missed by."""
        leverage = np.minimum(np.square(self.along) @ (1 / (self.spread + penalty)), 1 - 1e-6)
        missed = (self.target - self.along @ self.weights(penalty)) / (1 - leverage)[:, None]
        errors: Wide = np.square(missed).sum(axis=0)
        return errors


@attrs.frozen(eq=False)
class Ridge:
    """A fitted ridge.

    Attributes:
        weights: (columns, models) float64, of centred qualities.
        penalties: the ones chosen, in each group of models one for each direction.
        columns: (rows, columns) that it was fitted on.
        groups: of models.
    """

    weights: Wide
    penalties: Sequence[Wide]
    columns: Floats
    groups: Sequence[_Rotated]

    def left_out(self) -> Wide:
        """(rows, models) what each row is predicted as by weights fitted without its fold, at the same penalties.

        Where a model's answer is not known no weights saw it, and they speak for it as they are.
        """
        told: Wide = self.columns @ self.weights
        for rotated, chosen in zip(self.groups, self.penalties, strict=True):
            group = rotated.directions
            told[np.ix_(group.rows, group.models)] = rotated.left_out(chosen) @ group.axes.T
        return told


def fit_ridge(columns: Floats, target: Wide, judge: Judge | None = None) -> Ridge:
    """The ridge of each direction whose penalty leaves the least error on rows left out.

    Args:
        columns: (rows, columns).
        target: (rows, models) centred qualities; NaN where a model did not answer.
        judge: by which one penalty is chosen for all directions; None for the rows left out.
    """
    fold = folds_of(len(columns))
    groups = [_rotate(columns, target, directions, fold) for directions in find_directions(target)]
    if judge is None:
        penalties = [rotated.best() for rotated in groups]
    else:
        one = min(PENALTIES, key=lambda each: judge(_turned_back(groups, [each] * len(groups), target)))
        penalties = [np.full(rotated.target.shape[1], one) for rotated in groups]
    return Ridge(_turned_back(groups, penalties, target), penalties, columns, groups)


def folds_of(rows: int) -> NDArray[np.intp]:
    """(rows,) the number of each row's fold: always the same, and as many rows in each as can be."""
    return np.random.default_rng(0).permutation(rows) % FOLDS


def _rotate(columns: Floats, target: Wide, directions: Directions, fold: NDArray[np.intp]) -> _Rotated:
    rows = directions.rows
    part = columns if len(rows) == len(columns) else columns[rows]
    spread, axes = np.linalg.eigh((part.T @ part).astype(np.float64))
    along = part @ axes
    y = directions.of(target)
    return _Rotated(directions, fold[rows], axes, np.maximum(spread, 0), along, along.T @ y, y)


def _turned_back(groups: Sequence[_Rotated], penalties: Sequence[Wide | float], target: Wide) -> Wide:
    """(columns, models) weights of all groups, turned back from axes to columns and from directions to models."""
    weights = np.zeros((len(groups[0].axes), target.shape[1]))
    for rotated, chosen in zip(groups, penalties, strict=True):
        group = rotated.directions
        weights[:, group.models] = rotated.axes @ rotated.weights(chosen) @ group.axes.T
    return weights

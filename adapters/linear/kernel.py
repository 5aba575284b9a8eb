"""The linear SVM by the inner products of its rows: exact, and quick where rows are few and columns many."""

from __future__ import annotations

import logging

import attrs
import numpy as np
import torch
from torch import Tensor

from fusionapp.adapters.linear.line_search import step_length
from fusionapp.domain.linear import Columns, Matrix, SquaredHinge

MAX_STEPS = 60
PRECISE_STEPS = 300
"""In float64, at a C so high that rows cross the margin few at a time: 150 rows took 62 steps at three times the
largest C of float32, and liblinear 4,284."""
_ROUNDING = 1.68
"""Machine epsilons: part of the Gram matrix's trace that its dtype cannot tell from 0 on its diagonal."""
_LOGGER = logging.getLogger(__name__)


@attrs.frozen(eq=False)
class KernelObjective:
    """1/2 b^T K b + cost * loss(K b), each class for itself: the SVM's objective at w = R^-1 X^T b.

    Attributes:
        loss: of scores.
        cost: C.
    """

    loss: SquaredHinge
    cost: float

    def value(self, weights: Matrix, scores: Matrix) -> Columns:
        """At b (rows, classes) and K b (rows, classes)."""
        value: Columns = 0.5 * (weights * scores).sum(0, dtype=np.float64) + self.cost * self.loss.value(
            scores
        )
        return value


def largest_cost(gram: Matrix) -> float:
    """The largest C at which K + I / 2C can be factored in K's dtype: 2.5e6 over K's trace in float32."""
    rounding = _ROUNDING * float(np.finfo(gram.dtype).eps)
    return 1 / (2 * rounding * float(np.trace(gram, dtype=np.float64)))


def fit_by_kernel(
    gram: Matrix,
    loss: SquaredHinge,
    cost: float,
    scores: Matrix,
    tolerance: float,
) -> Matrix:
    """Newton's method on the rows inside the margin (Chapelle 2007, "Training a Support Vector Machine in the
    Primal"), whose step solves (K_SS + I / 2C) b_S = y_S: beyond the margin b is 0.

    It ends as `newton.minimize` does: where the gradient is a share `tolerance` of the weights. Above
    `largest_cost`, that C takes C's place, with a warning.

    Args:
        gram: K (rows, rows), of the rows in coordinates where the ridge is 1; all is computed in its dtype.
        loss: of the rows, none left out.
        cost: C.
        scores: (rows, classes) to begin from, whose margins say which rows to begin with.
        tolerance: distance to the solution as a share of the weights' length, each class for itself.

    Returns:
        b, (rows, classes): weights are R^-1 X^T b.
    """
    most = largest_cost(gram)
    if cost > most:
        _LOGGER.warning(
            "linear SVM: C = %g is fitted as %g, the largest that %s takes here", cost, most, gram.dtype
        )
        cost = most
    kernel = torch.from_numpy(gram)
    loss = SquaredHinge(loss.signs.astype(gram.dtype, copy=False))
    scores = scores.astype(gram.dtype, copy=False)
    objective = KernelObjective(loss, cost)
    solution, scores = _solve(kernel, loss, cost, scores)
    steps = MAX_STEPS if gram.dtype == np.float32 else PRECISE_STEPS
    for _ in range(steps):
        gradient = solution + cost * loss.slope(scores)
        bent = _times(kernel, gradient)
        slope, length = (
            np.maximum((a * b).sum(0, dtype=np.float64), 0) for a, b in ((gradient, bent), (solution, scores))
        )
        unfinished = np.flatnonzero(slope > tolerance**2 * length)
        if not len(unfinished):
            break
        part = attrs.evolve(objective, loss=loss.columns(unfinished))
        at = solution[:, unfinished], scores[:, unfinished]
        goal, reached = _solve(kernel, part.loss, cost, at[1])
        step = goal - at[0], reached - at[1]
        share = step_length(part, (bent[:, unfinished] * step[0]).sum(0, dtype=np.float64), at, step)
        if not share.any():
            break
        solution[:, unfinished] += share * step[0]
        scores[:, unfinished] += share * step[1]
    else:
        _LOGGER.warning("linear SVM: C = %g unfinished after %d steps", cost, steps)
    return solution


def _solve(kernel: Tensor, loss: SquaredHinge, cost: float, scores: Matrix) -> tuple[Matrix, Matrix]:
    """What b would be, were the rows that are inside the margin now those that stay there; and K b."""
    inside = torch.from_numpy(loss.weight(scores) > 0)
    signs = torch.from_numpy(loss.signs)
    solution = torch.zeros_like(signs)
    everywhere = inside.all(0)
    if everywhere.any():  # at the start, all classes: one factor serves them
        solution[:, everywhere] = torch.cholesky_solve(signs[:, everywhere], _factor(kernel, cost))
    for column in torch.nonzero(~everywhere).flatten().tolist():
        rows = torch.nonzero(inside[:, column]).flatten()
        if len(rows):
            factor = _factor(kernel.index_select(0, rows).index_select(1, rows), cost)
            solution[rows, column] = torch.cholesky_solve(signs[rows, column, None], factor)[:, 0]
    found: Matrix = solution.numpy()
    return found, _times(kernel, found)


def _factor(kernel: Tensor, cost: float) -> Tensor:
    """The lower Cholesky factor of K + I / 2C."""
    shifted = kernel.clone()
    shifted.diagonal().add_(1 / (2 * cost))
    factor: Tensor = torch.linalg.cholesky(shifted)
    return factor


def _times(kernel: Tensor, columns: Matrix) -> Matrix:
    product: Matrix = (kernel @ torch.from_numpy(np.ascontiguousarray(columns))).numpy()
    return product

"""Truncated Newton for linear classifiers (Lin, Weng and Keerthi 2008), all classes in one matrix product."""

from __future__ import annotations

import numpy as np

from fusionapp.adapters.linear.preconditioner import Preconditioner
from fusionapp.domain.linear import Columns, LinearProblem, Matrix

MAX_NEWTON_STEPS = 60
MAX_CONJUGATE_STEPS = 60
_SHORTEST_STEP = 2.0**-20


def minimize(
    problem: LinearProblem, start: Matrix, preconditioner: Preconditioner, tolerance: float = 1e-3
) -> Matrix:
    """Find the weights of a linear problem.

    Args:
        problem: what is minimised.
        start: (dim, classes) weights to begin from; a smaller cost's solution saves most steps.
        preconditioner: of the problem's design.
        tolerance: how far the gradient's norm must fall below its norm at W = 0, each class for itself where
            classes are separate.

    Returns:
        (dim, classes) weights.
    """
    weights, scores = start.copy(), problem.design.scores(start)
    scale = problem.norm(problem.gradient(np.zeros_like(weights), np.zeros_like(scores)))
    for _ in range(MAX_NEWTON_STEPS):
        gradient = problem.gradient(weights, scores)
        norm = problem.norm(gradient)
        unfinished = norm > tolerance * scale
        if not unfinished.any():
            break
        # Superlinear convergence near the end, no effort wasted far from it.
        forcing = np.minimum(0.3, np.sqrt(norm / np.maximum(scale, np.finfo(np.float32).tiny)))
        step, step_scores = _newton_step(problem, preconditioner, scores, gradient * unfinished, forcing)
        slope = problem.inner(gradient, step)
        length = _step_length(problem, slope, (weights, scores), (step, step_scores))
        if not length.any():
            break
        weights += length * step
        scores += length * step_scores
    return weights


def _newton_step(
    problem: LinearProblem,
    preconditioner: Preconditioner,
    scores: Matrix,
    gradient: Matrix,
    forcing: Columns,
) -> tuple[Matrix, Matrix]:
    """Solve H S = -gradient by conjugate gradients to a relative residual of `forcing`; S and X S."""
    curve = problem.loss.curve(scores)
    scale = problem.cost * problem.loss.weight(scores).mean(0)
    dtype = gradient.dtype
    step, step_scores = np.zeros_like(gradient), np.zeros_like(scores)
    residual = -gradient
    limit = forcing * problem.norm(gradient)
    conjugate = solved = preconditioner.solve(residual, scale)
    rho = problem.inner(residual, solved)
    active = rho > 0
    for _ in range(MAX_CONJUGATE_STEPS):
        conjugate = conjugate * active
        along = problem.design.scores(conjugate)
        bent = problem.penalty * conjugate + problem.cost * problem.design.back(curve(along))
        curvature = problem.inner(conjugate, bent)
        active &= curvature > 0
        alpha = (np.where(active, rho, 0) / np.where(active, curvature, 1)).astype(dtype)
        step += alpha * conjugate
        step_scores += alpha * along
        residual -= alpha * bent
        active &= problem.norm(residual) > limit
        if not active.any():
            break
        solved = preconditioner.solve(residual, scale)
        previous, rho = rho, problem.inner(residual, solved)
        conjugate = solved + (rho / np.where(active, previous, 1)).astype(dtype) * conjugate
    return step, step_scores


def _step_length(
    problem: LinearProblem, slope: Columns, at: tuple[Matrix, Matrix], step: tuple[Matrix, Matrix]
) -> Columns:
    """Armijo backtracking along a step; weights and scores are linear in it, so a trial costs no product."""
    before = problem.value(*at)
    length = np.where(slope < 0, 1.0, 0.0)
    while True:
        cast = length.astype(step[0].dtype)
        after = problem.value(at[0] + cast * step[0], at[1] + cast * step[1])
        too_long = (length > 0) & (after > before + 1e-4 * length * slope)
        if not too_long.any():
            return cast
        length = np.where(too_long, length / 2, length)
        length[length < _SHORTEST_STEP] = 0

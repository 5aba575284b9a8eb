"""Truncated Newton for linear classifiers (Lin, Weng and Keerthi 2008), all classes in one matrix product."""

from __future__ import annotations

import logging

import numpy as np

from fusionapp.adapters.linear.line_search import step_length
from fusionapp.adapters.linear.preconditioner import Preconditioner
from fusionapp.domain.linear import Columns, LinearProblem, Matrix

MAX_NEWTON_STEPS = 60
MAX_CONJUGATE_STEPS = 60
FORCING = 0.3
"""Part of the gradient that a Newton step may leave: solving it better gained nothing on GoEmotions."""
_ROUNDING = 1e-6
"""Part of the gradient at W = 0 below which float32 finds no way down."""
_RESOLUTION = float(np.finfo(np.float32).eps)
"""Part of the objective that float32 cannot tell from 0."""
_LOGGER = logging.getLogger(__name__)


def minimize(
    problem: LinearProblem, start: Matrix, preconditioner: Preconditioner, tolerance: float = 0.1
) -> Matrix:
    """Find the weights of a linear problem.

    A fit ends where the gradient is a share `tolerance` of W, both measured where the ridge is 1. Every curvature
    but the intercept's is at least 1 there, so W is then no further from the solution than that share of its size,
    whatever C and however rare a class: a gradient held against the one at W = 0 stops too soon for rare classes
    and, at a high C, at once.

    It ends, too, where a step did not halve the gradient and the next one promises less than the objective's
    rounding in float32. Texts that are blank or all alike say nothing: W is then 0 but for the intercept, and no
    share of it is ever reached.

    Args:
        problem: what is minimised.
        start: (dim, classes) weights to begin from; a smaller cost's solution saves most steps.
        preconditioner: of the problem's design.
        tolerance: distance to the solution as a share of W's length (an intercept left free apart), each class
            for itself where classes are separate.

    Returns:
        (dim, classes) weights.
    """
    weights, scores = start.copy(), problem.design.scores(start)
    least = _ROUNDING * problem.slope(problem.gradient(np.zeros_like(weights), np.zeros_like(scores)))
    before, spent = np.full_like(least, np.inf), np.zeros(least.shape, dtype=bool)
    for _ in range(MAX_NEWTON_STEPS):
        gradient = problem.gradient(weights, scores)
        norm = problem.slope(gradient)
        goal = np.maximum(tolerance * problem.length(weights), least)
        unfinished = (norm > goal) & ~spent
        if not unfinished.any():
            break
        # Inexact far from the solution; near it no more exact than the goal asks for.
        allowed = np.maximum(FORCING * norm, 0.3 * goal)
        separate = problem.loss.separate
        part = problem.columns(unfinished) if separate else problem
        columns = np.flatnonzero(unfinished) if separate else slice(None)
        at = weights[:, columns], scores[:, columns]
        direction = _direction(part, preconditioner, at[1], gradient[:, columns], allowed[columns])
        along = problem.design.scores(direction)
        slope = part.inner(gradient[:, columns], direction)
        spent[columns] = (-slope <= _RESOLUTION * part.value(*at)) & (norm > before / 2)[columns]
        before = norm
        length = step_length(part, np.where(spent[columns], 0, slope), at, (direction, along))
        if not length.any():
            break
        weights[:, columns] += length * direction
        scores[:, columns] += length * along
    else:
        _LOGGER.warning("linear model: C = %g unfinished after %d steps", problem.cost, MAX_NEWTON_STEPS)
    return weights


def _direction(
    problem: LinearProblem, preconditioner: Preconditioner, scores: Matrix, gradient: Matrix, allowed: Columns
) -> Matrix:
    """Solve H S = -gradient by conjugate gradients until the residual's norm is `allowed`: S, (dim, classes).

    A class that is done leaves the products at once: late steps serve the few classes that need them.
    """
    design = problem.design.rough
    solution, step = np.zeros_like(gradient), np.zeros_like(gradient)
    live = np.arange(gradient.shape[1])
    curve = problem.loss.curve(scores)
    scale = problem.cost * problem.loss.weight(scores).mean(0)
    residual = -gradient
    conjugate = preconditioner.solve(residual, scale, problem.ridge)
    rho = problem.inner(residual, conjugate)
    for _ in range(MAX_CONJUGATE_STEPS):
        bent = problem.penalty * conjugate + problem.cost * design.back(curve(design.scores(conjugate)))
        alpha = _ratio(rho, problem.inner(conjugate, bent)).astype(gradient.dtype)
        step += alpha * conjugate
        residual -= alpha * bent
        wanting = problem.slope(residual) > allowed
        if not wanting.any():
            break
        if not wanting.all():
            solution[:, live] = step
            live, allowed, rho, scale = live[wanting], allowed[wanting], rho[wanting], scale[wanting]
            step, residual, conjugate, scores = (
                matrix[:, wanting] for matrix in (step, residual, conjugate, scores)
            )
            problem = problem.columns(wanting)
            curve = problem.loss.curve(scores)
        solved = preconditioner.solve(residual, scale, problem.ridge)
        previous, rho = rho, problem.inner(residual, solved)
        conjugate = solved + _ratio(rho, previous).astype(gradient.dtype) * conjugate
    solution[:, live] = step
    return solution


def _ratio(above: Columns, below: Columns) -> Columns:
    """A quotient, 0 where float32 has left nothing below: the class moves no further in that direction."""
    quotient: Columns = np.divide(above, below, out=np.zeros_like(above), where=below > 0)
    return quotient

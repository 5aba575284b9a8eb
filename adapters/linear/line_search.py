"""How far to go along a direction."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from fusionapp.domain.linear import Columns, Matrix

_SHORTEST_STEP = 2.0**-20


class Objective(Protocol):
    """What falls, at coefficients (dim, classes) whose scores (rows, classes) are known."""

    def value(self, weights: Matrix, scores: Matrix) -> Columns:
        """The objective, of each class where classes are separate."""


def step_length(
    objective: Objective, slope: Columns, at: tuple[Matrix, Matrix], step: tuple[Matrix, Matrix]
) -> Columns:
    """Armijo backtracking; coefficients and scores are linear in the step, so a trial costs no product.

    Args:
        objective: what falls.
        slope: its derivative along the step, where the step begins.
        at: coefficients and scores there.
        step: what they change by in a whole step.

    Returns:
        Shares of the step, in the coefficients' dtype; 0 where it leads nowhere down.
    """
    before = objective.value(*at)
    length = np.where(slope < 0, 1.0, 0.0)
    while True:
        cast = length.astype(step[0].dtype)
        after = objective.value(at[0] + cast * step[0], at[1] + cast * step[1])
        too_long = (length > 0) & (after > before + 1e-4 * length * slope)
        if not too_long.any():
            return cast
        length = np.where(too_long, length / 2, length)
        length[length < _SHORTEST_STEP] = 0

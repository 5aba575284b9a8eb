"""Choosing C on validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.adapters.linear.solver import Solver
from fusionapp.application.ports.progress import ProgressTask
from fusionapp.domain.errors import UsageError
from fusionapp.domain.linear import Design, Matrix


@attrs.frozen(eq=False)
class Choice:
    """The model of the best C.

    Attributes:
        cost: the C.
        tried: validation accuracy of each C fitted.
        weights: (dim, classes).
        validation: (rows, classes) scores.
    """

    cost: float
    tried: Mapping[float, float]
    weights: Matrix
    validation: Matrix


def check_costs(costs: Sequence[float]) -> None:
    """Before anything dear is measured.

    Raises:
        UsageError: no C, or a C that is not above 0 and finite.
    """
    if not costs or not all(0 < cost < inf for cost in costs):
        raise UsageError(
            f"linear model: C must be above 0 and finite, got {list(costs)}; try 0.1, 0.3, 1, 3, 10"
        )


def choose_cost(
    solver: Solver,
    validation: tuple[Design, NDArray[np.int64]],
    costs: Sequence[float],
    tolerance: float,
    bar: ProgressTask,
    falls: int = 2,
    doubt: float = 0.0,
) -> Choice:
    """Fit from the smallest C up, each from the last one's solution, and choose by validation accuracy.

    Costs without a better one, `falls` of them in a row, end the search: larger ones are dearer. A larger C takes
    the place of a smaller one where it gains more than `doubt` standard errors of their paired difference, the
    root of the rows on which just one of them is right (McNemar 1947): at 1, this is the one-standard-error rule
    of Breiman et al. (1984); at 0, of equal accuracies the smallest C is taken.
    """
    held_out, labels = validation
    weights: Matrix | None = None
    tried: dict[float, float] = {}
    peak, chosen, right = 0, None, np.zeros(len(labels), dtype=bool)
    grid = sorted({float(cost) for cost in costs})
    for place, cost in enumerate(grid):
        weights = solver(cost, tolerance, weights)
        scores = held_out.scores(weights)
        hits = scores.argmax(1) == labels
        tried[cost] = float(hits.mean())
        if place == 0 or tried[cost] > tried[grid[peak]]:
            peak = place
            gained, unlike = int(hits.sum()) - int(right.sum()), int((hits != right).sum())
            if chosen is None or gained > doubt * unlike**0.5:
                chosen, right = Choice(cost, tried, weights, scores), hits
        elif place - peak >= falls:
            bar.advance(len(grid) - place)
            break
        bar.advance(1)
    assert chosen is not None
    return chosen

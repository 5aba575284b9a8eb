"""Choosing C on validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.adapters.linear.solver import Solver
from fusionapp.application.ports.progress import ProgressTask
from fusionapp.domain.errors import UsageError
from fusionapp.domain.linear import Design, Matrix
from fusionapp.domain.metrics import accuracy


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
        UsageError: no C, or a C that is not above 0.
    """
    if not costs or min(costs) <= 0:
        raise UsageError(f"linear model: C must be above 0, got {list(costs)}; try 0.1, 0.3, 1, 3, 10")


def choose_cost(
    solver: Solver,
    validation: tuple[Design, NDArray[np.int64]],
    costs: Sequence[float],
    tolerance: float,
    bar: ProgressTask,
    falls: int = 2,
) -> Choice:
    """Fit from the smallest C up, each from the last one's solution; of equal accuracies the smallest C.

    Costs without a better validation accuracy, `falls` of them in a row, end the search: larger ones are dearer.
    """
    held_out, labels = validation
    weights: Matrix | None = None
    tried: dict[float, float] = {}
    best: Choice | None = None
    grid = sorted(set(costs))
    for place, cost in enumerate(grid):
        weights = solver(cost, tolerance, weights)
        scores = held_out.scores(weights)
        tried[cost] = accuracy(labels, scores.argmax(1))
        if best is None or tried[cost] > tried[best.cost]:
            best = Choice(cost, tried, weights, scores)
        elif place - grid.index(best.cost) >= falls:
            bar.advance(len(grid) - place)
            break
        bar.advance(1)
    assert best is not None
    return best

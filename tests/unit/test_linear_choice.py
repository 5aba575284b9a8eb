"""Choosing C on validation."""

from __future__ import annotations

from contextlib import nullcontext

import attrs
import numpy as np
import pytest
from fakes.heads import CountingProgress
from numpy.typing import NDArray

from fusionapp.adapters.linear.choice import Choice, choose_cost
from fusionapp.domain.linear import Design, Matrix

ROWS = 100
LABELS = np.zeros(ROWS, dtype=np.int64)
EYE = Design(np.eye(ROWS, dtype=np.float32))


@attrs.frozen(eq=False)
class ScriptedSolver:
    """Weights by which chosen rows of `EYE` are right."""

    right: dict[float, NDArray[np.bool_]]
    design: Design = EYE

    def __call__(self, cost: float, tolerance: float, start: Matrix | None = None) -> Matrix:
        right = self.right[cost].astype(np.float32)
        return np.stack([right, 1 - right], axis=1)


def first(count: int) -> NDArray[np.bool_]:
    return np.arange(ROWS) < count


def chosen(right: dict[float, NDArray[np.bool_]], falls: int = 2, doubt: float = 0.0) -> Choice:
    with nullcontext(CountingProgress()) as progress, progress.task("C", total=9, unit="fits") as bar:
        return choose_cost(ScriptedSolver(right), (EYE, LABELS), list(right), 0.1, bar, falls, doubt)


def test_the_best_accuracy_is_taken_and_of_equal_ones_the_smallest_cost() -> None:
    assert chosen({0.1: first(60), 1.0: first(61), 10.0: first(61)}).cost == 1.0


def test_costs_that_gain_nothing_end_the_search() -> None:
    tried = chosen({0.1: first(60), 0.3: first(50), 1.0: first(50), 3.0: first(90)}).tried
    assert list(tried) == [0.1, 0.3, 1.0]
    assert list(chosen({0.1: first(60), 0.3: first(50), 1.0: first(90)}, falls=1).tried) == [0.1, 0.3]


@pytest.mark.parametrize(("lost", "cost"), [(0, 1.0), (2, 1.0), (20, 0.1)])
def test_a_larger_cost_must_gain_more_than_a_standard_error(lost: int, cost: float) -> None:
    """It wins four rows more than it loses: 4 rows differ, then 8, then 44."""
    other = (np.arange(ROWS) >= lost) & (np.arange(ROWS) < 64 + lost)
    assert chosen({0.1: first(60), 1.0: other}, doubt=1.0).cost == cost


def test_small_gains_add_up() -> None:
    steps = {
        0.1: first(60),
        0.3: (np.arange(ROWS) >= 10) & (np.arange(ROWS) < 72),
        1.0: (np.arange(ROWS) >= 10) & (np.arange(ROWS) < 78),
    }
    assert chosen({c: steps[c] for c in (0.1, 0.3)}, doubt=1.0).cost == 0.1
    assert chosen(steps, doubt=1.0).cost == 1.0

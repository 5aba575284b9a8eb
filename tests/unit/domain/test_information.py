from __future__ import annotations

from math import log

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.stats import entropy

from fusionapp.domain.information import PSEUDO_ROWS, class_information

ROWS = np.array([40.0, 25.0, 35.0])
TOGETHER = np.array([[8.0, 0, 1], [4, 2, 3], [0, 25, 0], [1, 0, 0], [40, 25, 35]])


def test_it_agrees_with_a_slow_loop() -> None:
    prior = [(rows + 1) / (sum(ROWS) + 3) for rows in ROWS]
    expected = []
    for column in TOGETHER:
        nats = 0.0
        for count, p in zip(column, prior, strict=True):
            share = (count + PSEUDO_ROWS * p) / (sum(column) + PSEUDO_ROWS)
            nats += share * log(share / p)
        expected.append(nats)
    np.testing.assert_allclose(class_information(TOGETHER, ROWS), expected, rtol=1e-12)


def test_it_agrees_with_scipys_relative_entropy() -> None:
    prior = (ROWS + 1) / (ROWS + 1).sum()
    expected = entropy((TOGETHER + PSEUDO_ROWS * prior).T, prior[:, None])
    np.testing.assert_allclose(class_information(TOGETHER, ROWS), expected, rtol=1e-12)


counts = st.lists(st.integers(0, 50), min_size=3, max_size=3)


@given(counts, st.lists(st.integers(0, 50), min_size=3, max_size=3), st.floats(0.1, 20), st.floats(1.1, 10))
def test_it_is_at_least_zero_and_more_pseudo_rows_say_less(
    column: list[int], others: list[int], pseudo_rows: float, more: float
) -> None:
    together = np.array([column], dtype=np.float64)
    rows = together[0] + others
    few, many = (class_information(together, rows, n)[0] for n in (pseudo_rows, pseudo_rows * more))
    assert 0 <= many <= few + 1e-12


@given(st.integers(1, 100), st.floats(0.1, 20))
def test_a_column_held_in_proportion_to_the_smoothed_prior_says_nothing(
    held: int, pseudo_rows: float
) -> None:
    prior = (ROWS + 1) / (ROWS + 1).sum()
    assert class_information(held * prior[None], ROWS, pseudo_rows)[0] == pytest.approx(0, abs=1e-12)


def test_a_column_that_no_row_holds_says_nothing() -> None:
    assert class_information(np.zeros((1, 3)), ROWS)[0] == pytest.approx(0, abs=1e-12)

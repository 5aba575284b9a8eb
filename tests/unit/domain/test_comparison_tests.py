from __future__ import annotations

from math import comb

import numpy as np
import pytest
from hypothesis import given, strategies as st
from numpy.typing import NDArray
from scipy.stats import chisquare, false_discovery_control

from fusionapp.domain.errors import UsageError
from fusionapp.domain.statistics.bootstrap import Interval
from fusionapp.domain.statistics.holm import holm
from fusionapp.domain.statistics.mcnemar import mcnemar
from fusionapp.domain.statistics.verdict import verdict


def right(b: int, c: int, both: int = 10) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    first = np.array([True] * b + [False] * c + [True] * both)
    second = np.array([False] * b + [True] * c + [True] * both)
    return first, second


@given(st.integers(0, 12), st.integers(0, 12))
def test_few_disagreements_are_tested_by_counting_coin_flips(b: int, c: int) -> None:
    n = b + c
    tail = sum(comb(n, k) for k in range(min(b, c) + 1)) / 2**n
    found = mcnemar(*right(b, c))
    assert (found.only_first, found.only_second, found.exact) == (b, c, True)
    assert found.p_value == pytest.approx(min(1.0, 2 * tail))


def test_many_disagreements_are_tested_by_corrected_chi_squared() -> None:
    found = mcnemar(*right(40, 20))
    assert not found.exact
    assert found.p_value == pytest.approx(0.01417, abs=1e-4)  # chi2 = (20 - 1)^2 / 60 = 6.0167


def test_corrected_chi_squared_agrees_with_scipy() -> None:
    # The continuity correction moves both counts half a row towards their expectation.
    assert mcnemar(*right(45, 23)).p_value == pytest.approx(chisquare([44.5, 23.5]).pvalue)


@given(st.integers(0, 60), st.integers(0, 60))
def test_the_test_takes_no_side(b: int, c: int) -> None:
    assert mcnemar(*right(b, c)).p_value == pytest.approx(mcnemar(*right(c, b)).p_value)
    assert 0 <= mcnemar(*right(b, c)).p_value <= 1


def test_rows_that_differ_in_number_are_refused() -> None:
    with pytest.raises(UsageError, match="2 and 3 rows"):
        mcnemar(np.ones(2, bool), np.ones(3, bool))


p_values = st.lists(st.floats(0, 1), min_size=1, max_size=8)


@given(p_values)
def test_holm_agrees_with_a_loop(p: list[float]) -> None:
    expected = []
    for mine in p:
        smaller = sorted(q for q in p if q <= mine)
        expected.append(min(1.0, max((len(p) - rank) * q for rank, q in enumerate(smaller))))
    assert list(holm(dict(enumerate(p))).values()) == pytest.approx(expected)


def test_holm_agrees_with_the_published_procedure() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}) == pytest.approx(
        {"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02}
    )


@given(p_values)
def test_holm_stands_between_uncorrected_and_bonferroni(p: list[float]) -> None:
    adjusted = np.array(list(holm(dict(enumerate(p))).values()))
    assert np.all(adjusted >= np.array(p))
    assert np.all(adjusted <= np.minimum(1, np.array(p) * len(p)) + 1e-12)
    assert np.all(adjusted >= false_discovery_control(p) - 1e-12)


def test_nothing_compared_is_nothing_adjusted() -> None:
    assert holm({}) == {}


@pytest.mark.parametrize(
    ("low", "high", "p", "expected"),
    [
        (0.01, 0.03, 0.01, "better"),
        (-0.03, -0.01, 0.01, "worse"),
        (-0.01, 0.03, 0.01, "not separable"),
        (0.01, 0.03, 0.06, "not separable"),
        (0.0, 0.0, 0.01, "not separable"),
    ],
)
def test_a_verdict_says_no_more_than_interval_and_p_allow(
    low: float, high: float, p: float, expected: str
) -> None:
    assert verdict(Interval(low, high), p) == expected

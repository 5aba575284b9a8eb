"""The bound on a paired p-value, against all sign flips one by one, scipy's tests, and what must hold of any."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.stats import binomtest, permutation_test

from fusionapp.domain.round_scores import judge_draws
from fusionapp.domain.scores import Scores, compare, judge
from fusionapp.domain.statistics.bootstrap import DRAWS, bootstrap_mean, paired_difference
from fusionapp.domain.statistics.contrasts import contrasts
from fusionapp.domain.statistics.sign_flips import differing_units, least_p_value
from fusionapp.domain.statistics.verdict import verdict

fifths = st.lists(st.integers(-5, 5), min_size=1, max_size=8)


def every_flip(differences: list[int]) -> float:
    """The exact two-sided p-value of the sign-flip test: the share of all sign flips that reach as far."""
    reached = abs(sum(differences))
    flips = list(product((-1, 1), repeat=len(differences)))
    as_far = 0
    for signs in flips:
        as_far += abs(sum(sign * one for sign, one in zip(signs, differences, strict=True))) >= reached
    return as_far / len(flips)


@given(fifths)
def test_no_exact_p_value_is_below_the_bound(differences: list[int]) -> None:
    assert every_flip(differences) >= least_p_value(len([one for one in differences if one]))


@given(st.lists(st.integers(1, 5), min_size=1, max_size=8), st.integers(0, 3))
def test_the_bound_is_the_exact_p_value_where_all_differ_one_way(gains: list[int], ties: int) -> None:
    assert every_flip([*gains, *[0] * ties]) == least_p_value(len(gains))


@pytest.mark.parametrize("count", [2, 5, 9])
def test_scipys_permutation_test_of_pairs_reaches_the_bound(count: int) -> None:
    first, second = np.linspace(1, 2, count), np.zeros(count)
    found = permutation_test(
        (first, second),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=1000,  # more than there are: each once
    )
    assert least_p_value(differing_units(first, second)) == pytest.approx(found.pvalue)


@pytest.mark.parametrize("count", [1, 6, 30])
def test_scipys_sign_test_of_pairs_that_differ_one_way_is_the_bound(count: int) -> None:
    assert least_p_value(count) == pytest.approx(binomtest(count, count).pvalue)


@given(st.integers(0, 1000))  # beyond, powers of a half are no normal numbers
def test_the_bound_is_two_ways_out_of_all_and_falls_with_every_unit(differing: int) -> None:
    bound = least_p_value(differing)
    assert bound == min(1.0, 2.0 * 0.5**differing)
    assert 0 <= least_p_value(differing + 1) <= bound <= 1


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=30))
def test_units_differ_where_shares_of_seeds_do_and_not_by_rounding(pairs: list[tuple[int, int]]) -> None:
    first, second = (np.array([pair[side] for pair in pairs]) for side in (0, 1))
    spread = [np.mean([np.arange(5) < hits for hits in side], axis=1) for side in (first, second)]
    summed = np.array([sum([0.2] * hits) for hits in second])  # three times 0.2 is not 0.6
    assert differing_units(*spread) == differing_units(spread[0], summed) == (first != second).sum()


@given(fifths, st.integers(0, 5))
def test_no_paired_p_value_is_below_the_bound(differences: list[int], seed: int) -> None:
    first, second = np.array(differences) / 5, np.zeros(len(differences))
    least = least_p_value(differing_units(first, second))
    replicates = [bootstrap_mean(one[None], 200, seed) for one in (first, second)]
    whole = paired_difference(replicates[0], replicates[1], first.mean(), 0.0, differing_units(first, second))
    (contrast,) = contrasts(np.stack([first, second]), [(0, 1)], 200, seed)
    assert min(whole.p_value, contrast.p_value) >= least


@pytest.mark.parametrize(("rows", "said"), [(5, "not separable"), (6, "better")])
def test_five_rows_all_one_way_separate_nothing_and_six_do(rows: int, said: str) -> None:
    labels = np.zeros(rows, np.int64)
    always, never = (judge(Scores(np.full((3, rows), one)), labels, DRAWS) for one in (0, 1))
    difference = compare(always, never)
    (contrast,) = contrasts(np.stack([always.right, never.right]), [(0, 1)])
    assert difference.p_value == contrast.p_value == 2 / 2**rows
    assert verdict(difference.interval, difference.p_value) == said
    assert difference.interval.low == difference.interval.high == 1


def test_a_text_is_one_unit_however_many_draws_score_it() -> None:
    labels = np.zeros(5, np.int64)
    always, never = (judge_draws([Scores(np.full((2, 5), one))] * 10, labels, 300) for one in (0, 1))
    assert compare(always, never).p_value == 2 / 2**5


def test_fifteen_rows_that_differ_leave_the_p_value_to_the_draws() -> None:
    """What a usual test set says does not change: the draws' own bound is the larger one."""
    assert least_p_value(15) < 2 / (DRAWS + 1) < least_p_value(13)

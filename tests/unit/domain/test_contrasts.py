from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm, ttest_rel

from fusionapp.domain.errors import UsageError
from fusionapp.domain.statistics.bootstrap import (
    Difference,
    Interval,
    bootstrap_mean,
    paired_difference,
    resample_weights,
)
from fusionapp.domain.statistics.contrasts import contrasts, tail_p_value

RNG = np.random.default_rng(0)
SCORES = RNG.integers(0, 5, size=(4, 90)) / 4


def test_a_contrast_agrees_with_a_loop_over_draws() -> None:
    (found,) = contrasts(SCORES, [(1, 3)], draws=200)
    weights = np.concatenate(list(resample_weights(90, 200)))
    slow = []
    for drawn in weights.astype(int):
        rows = [row for row, count in enumerate(drawn) for _ in range(count)]
        slow.append(np.mean([SCORES[1, row] for row in rows]) - np.mean([SCORES[3, row] for row in rows]))
    assert found.estimate == pytest.approx(SCORES[1].mean() - SCORES[3].mean())
    assert [found.interval.low, found.interval.high] == pytest.approx(
        np.percentile(slow, [2.5, 97.5]), abs=1e-6
    )


def test_several_contrasts_are_those_of_one_pair_at_a_time() -> None:
    pairs = [(0, 1), (2, 3), (3, 0)]
    for (first, second), found in zip(pairs, contrasts(SCORES, pairs, draws=500), strict=True):
        one = paired_difference(
            bootstrap_mean(SCORES[[first]], 500),
            bootstrap_mean(SCORES[[second]], 500),
            SCORES[first].mean(),
            SCORES[second].mean(),
            int(np.count_nonzero(SCORES[first] != SCORES[second])),
        )
        assert (found.estimate, found.p_value) == pytest.approx((one.estimate, one.p_value))
        assert found.interval.low == pytest.approx(one.interval.low, abs=1e-6)


def test_a_clear_difference_has_about_the_p_value_of_the_paired_t_test() -> None:
    clear = np.stack([RNG.random(400) < 0.9, RNG.random(400) < 0.6]).astype(float)
    (found,) = contrasts(clear, [(0, 1)], draws=2000)
    oracle = ttest_rel(clear[0], clear[1]).pvalue
    assert found.p_value < 2 / 2001
    assert np.log10(found.p_value) == pytest.approx(np.log10(oracle), rel=0.2)


def test_turning_a_pair_around_turns_the_sign_alone() -> None:
    there, back = contrasts(SCORES, [(0, 2), (2, 0)], draws=300)
    assert back.estimate == -there.estimate
    assert back.p_value == there.p_value
    assert (back.interval.low, back.interval.high) == pytest.approx(
        (-there.interval.high, -there.interval.low)
    )


def test_equals_have_no_difference() -> None:
    (found,) = contrasts(np.stack([SCORES[0], SCORES[0]]), [(0, 1)], draws=100)
    assert (found.estimate, found.p_value) == (0.0, 1.0)


def test_a_tie_of_fifths_is_a_tie_in_every_draw() -> None:
    fifths = np.array([[0.2, 0.4] * 20, [0.6, 0.0] * 20])
    weights = np.concatenate(list(resample_weights(40, 300)))
    exact = weights @ np.round(5 * (fifths[0] - fifths[1]))
    tail = min((exact <= 0).sum(), (exact >= 0).sum())
    (found,) = contrasts(fifths, [(0, 1)], draws=300)
    assert found.p_value == min(1.0, 2 * (tail + 1) / 301)


def test_a_tail_is_continued_only_where_the_draws_are_exhausted() -> None:
    floor = 2 / 1001
    difference = Difference(0.5, Interval(0.3, 0.7), floor)
    beyond = np.random.default_rng(1).normal(0.5, 0.1, 1000).clip(min=0.01)
    assert tail_p_value(difference, beyond) == pytest.approx(2 * norm.sf(0.5 / beyond.std(ddof=1)), rel=1e-6)
    assert tail_p_value(difference, np.append(beyond, -0.01)) == floor
    assert tail_p_value(difference, np.full(1000, 0.5)) == floor  # no spread, no tail to continue


def test_without_rows_there_is_nothing_to_compare() -> None:
    with pytest.raises(UsageError, match="no rows"):
        contrasts(np.zeros((2, 0)), [(0, 1)])

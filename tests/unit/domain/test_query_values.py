from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.stats import bootstrap as scipy_bootstrap

from fusionapp.domain.errors import UsageError
from fusionapp.domain.statistics.bootstrap import resample_weights
from fusionapp.domain.statistics.query_values import compare_values, judge_values

VALUES = 1 / np.random.default_rng(0).integers(1, 11, 80)


def test_replicates_agree_with_a_loop_over_draws() -> None:
    judged = judge_values(VALUES, draws=20)
    weights = np.concatenate(list(resample_weights(80, 20)))
    expected = [np.repeat(VALUES, row.astype(np.int64)).mean() for row in weights]
    np.testing.assert_allclose(judged.replicates, expected)


def test_intervals_agree_with_scipy() -> None:
    oracle = scipy_bootstrap((VALUES,), np.mean, method="percentile", rng=np.random.default_rng(1))
    summary = judge_values(VALUES).summary
    np.testing.assert_allclose([summary.low, summary.high], oracle.confidence_interval, atol=0.01)
    assert summary.mean == pytest.approx(VALUES.mean())
    assert summary.sd == 0


def test_runs_are_averaged_and_their_deviation_is_told() -> None:
    runs = np.stack([VALUES, VALUES * 0.5])
    summary = judge_values(runs, draws=50).summary
    assert summary.mean == pytest.approx(runs.mean())
    assert summary.sd == pytest.approx(runs.mean(axis=1).std(ddof=1))


@given(st.floats(0.01, 0.5))
def test_a_ranking_that_is_better_by_the_same_everywhere_differs_by_just_that(gain: float) -> None:
    better, worse = (judge_values(values, draws=50) for values in (VALUES + gain, VALUES))
    difference = compare_values(better, worse)
    assert difference.estimate == pytest.approx(gain)
    assert difference.interval.low == pytest.approx(gain)
    assert difference.interval.high == pytest.approx(gain)


def test_a_ranking_against_itself_is_no_difference() -> None:
    difference = compare_values(judge_values(VALUES), judge_values(VALUES))
    assert difference.estimate == 0
    assert difference.p_value == 1


def test_a_value_that_is_no_number_is_refused() -> None:
    values = VALUES.copy()
    values[7] = np.nan
    with pytest.raises(UsageError, match="value of query 7"):
        judge_values(values)


def test_no_queries_are_refused() -> None:
    with pytest.raises(UsageError, match="no rows"):
        judge_values(np.empty(0))

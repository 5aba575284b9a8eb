from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from numpy.typing import NDArray
from scipy.stats import bootstrap as scipy_bootstrap, kendalltau

from fusionapp.domain.errors import UsageError
from fusionapp.domain.routing.answers import ScoreMatrix
from fusionapp.domain.routing.conversions import battles_of_scores
from fusionapp.domain.routing.metrics import (
    Ratio,
    battle_agreement,
    best_single,
    bootstrap_ratios,
    chosen_quality,
    gap_closed,
    gap_to_oracle,
    mean_known,
    oracle_quality,
    pairwise_agreement,
)
from fusionapp.domain.routing.policy import NO_MODEL
from fusionapp.domain.routing.reliability import bootstrap_success_error, reliability, success_error
from fusionapp.domain.statistics.bootstrap import resample_weights

Table = NDArray[np.float64]
RNG = np.random.default_rng(0)
QUALITY = np.where(RNG.random((30, 5)) < 0.2, np.nan, RNG.integers(0, 4, (30, 5)) / 3)
SCORES = np.round(RNG.uniform(-1, 1, (30, 5)), 1)
FULL = RNG.random((40, 4))


def looped(scores: Table, quality: Table, ties: bool) -> tuple[float, int]:
    hits, pairs = 0.0, 0
    for s, q in zip(scores.tolist(), quality.tolist(), strict=True):
        for i, j in combinations(range(len(s)), 2):
            if np.isnan(q[i]) or np.isnan(q[j]) or (q[i] == q[j] and not ties):
                continue
            truth, guess = (q[i] > q[j]) - (q[i] < q[j]), (s[i] > s[j]) - (s[i] < s[j])
            hits += 1.0 if truth == guess else (0.5 if 0 in (truth, guess) else 0.0)
            pairs += 1
    return hits, pairs


@pytest.mark.parametrize("ties", [False, True])
def test_pairwise_agreement_agrees_with_a_loop(ties: bool) -> None:
    found = pairwise_agreement(SCORES, QUALITY, ties)
    assert (found.total.sum(), found.count.sum()) == looped(SCORES, QUALITY, ties)


def test_pairwise_agreement_without_ties_is_kendalls_tau_in_disguise() -> None:
    """tau = 2 agreement - 1 within a prompt where nothing ties."""
    rng = np.random.default_rng(1)
    scores, quality = rng.normal(size=(2, 10, 6))
    found = pairwise_agreement(scores, quality)
    for row in range(10):
        tau = kendalltau(scores[row], quality[row]).statistic
        assert found.total[row] / found.count[row] == pytest.approx((tau + 1) / 2)


@given(st.integers(0, 500))
def test_reversing_every_score_turns_agreement_around(seed: int) -> None:
    scores = np.random.default_rng(seed).integers(-2, 3, size=QUALITY.shape).astype(np.float64)
    there, back = (pairwise_agreement(s, QUALITY).value for s in (scores, -scores))
    assert there + back == pytest.approx(1.0)


@pytest.mark.parametrize("ties", [False, True])
def test_battles_made_of_scores_agree_as_the_scores_do(ties: bool) -> None:
    scores = ScoreMatrix([f"m{i}" for i in range(5)], QUALITY, QUALITY, QUALITY)
    found = battle_agreement(SCORES, battles_of_scores(scores), ties)
    oracle = pairwise_agreement(SCORES, QUALITY, ties)
    np.testing.assert_allclose(found.total, oracle.total)
    np.testing.assert_allclose(found.count, oracle.count)


def test_a_battle_that_both_lost_counts_as_a_tie() -> None:
    scores = ScoreMatrix(["a", "b"], np.array([[0.1, 0.2]]), np.zeros((1, 2)), np.zeros((1, 2)))
    bad = battles_of_scores(scores, bad_below=0.5)
    assert np.isnan(battle_agreement(np.array([[0.0, 1.0]]), bad).value)
    assert battle_agreement(np.array([[0.0, 1.0]]), bad, ties=True).value == 0.5


def test_qualities_of_choices_agree_with_a_loop() -> None:
    chosen = np.random.default_rng(2).integers(NO_MODEL, 5, 30)
    expected = [np.nan if m == NO_MODEL else QUALITY[i, m] for i, m in enumerate(chosen)]
    np.testing.assert_array_equal(chosen_quality(QUALITY, chosen), expected)
    assert mean_known(chosen_quality(QUALITY, chosen)).value == pytest.approx(np.nanmean(expected))


def test_the_oracle_is_numpys_largest_known() -> None:
    np.testing.assert_array_equal(oracle_quality(QUALITY), np.nanmax(QUALITY, axis=1))
    assert np.isnan(oracle_quality(np.full((1, 3), np.nan))).all()


def test_the_best_single_model_is_numpys_largest_mean() -> None:
    assert best_single(QUALITY) == int(np.nanmean(QUALITY, axis=0).argmax())
    assert best_single(np.array([[np.nan, 0.1]])) == 1


def test_no_answers_have_no_best_model() -> None:
    with pytest.raises(UsageError, match="none is best"):
        best_single(np.full((2, 3), np.nan))


@given(st.integers(0, 500))
def test_gaps_are_none_for_the_oracle_and_whole_for_the_single_model(seed: int) -> None:
    quality = np.random.default_rng(seed).random((20, 4))
    oracle, single = quality.argmax(1), np.zeros(20, dtype=np.int64)
    assert gap_to_oracle(quality, oracle).value == 0
    assert gap_closed(quality, oracle, 0).value == pytest.approx(1.0)
    assert gap_closed(quality, single, 0).value == 0


def test_the_share_of_the_gap_closed_is_that_of_the_means() -> None:
    chosen = np.random.default_rng(3).integers(0, 4, 40)
    mean, base, most = FULL[np.arange(40), chosen].mean(), FULL[:, 1].mean(), FULL.max(1).mean()
    assert gap_closed(FULL, chosen, 1).value == pytest.approx((mean - base) / (most - base))
    assert gap_to_oracle(FULL, chosen).value == pytest.approx(most - mean)


RATIOS = {"pairs": pairwise_agreement(SCORES, QUALITY), "known": mean_known(QUALITY[:, 0])}


def test_bootstrapped_ratios_agree_with_a_loop_over_draws() -> None:
    found = bootstrap_ratios(RATIOS, draws=20, seed=5)
    for i, counts in enumerate(np.concatenate(list(resample_weights(30, 20, 5)))):
        rows = np.repeat(np.arange(30), counts.astype(int))
        hits, pairs = looped(SCORES[rows], QUALITY[rows], False)
        assert found["pairs"][i] == pytest.approx(hits / pairs)
        assert found["known"][i] == pytest.approx(np.nanmean(QUALITY[rows, 0]))


def test_bootstrapped_ratios_have_scipys_interval() -> None:
    ratio = RATIOS["pairs"]

    def value(total: Table, count: Table, axis: int) -> Table:
        share: Table = total.sum(axis) / count.sum(axis)
        return share

    oracle = scipy_bootstrap(
        (ratio.total, ratio.count), value, paired=True, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    ours = np.percentile(bootstrap_ratios({"pairs": ratio})["pairs"], [2.5, 97.5])
    np.testing.assert_allclose(ours, oracle, atol=0.005)


def test_a_draw_that_counts_nothing_has_no_value() -> None:
    ratio = Ratio(np.array([1.0, 0.0]), np.array([1.0, 0.0]))
    found = bootstrap_ratios({"x": ratio}, draws=50)["x"]
    assert np.isnan(found).any()
    assert (found[~np.isnan(found)] == 1).all()


def test_ratios_over_other_prompts_are_not_paired() -> None:
    with pytest.raises(UsageError, match="pairs 30, other 1"):
        bootstrap_ratios({"pairs": RATIOS["pairs"], "other": Ratio(np.ones(1), np.ones(1))})


SUCCESS = RNG.random((30, 5))


def error_looped(success: Table, quality: Table, bins: int = 15) -> float:
    total, count = 0.0, 0
    for b in range(bins):
        inside = [
            (p, q)
            for p, q in zip(success.ravel(), quality.ravel(), strict=True)
            if not np.isnan(q) and (b / bins < p <= (b + 1) / bins or (b == 0 and p == 0))
        ]
        if inside:
            predicted, truth = np.mean(inside, axis=0)
            total, count = total + len(inside) * abs(predicted - truth), count + len(inside)
    return total / count


def test_the_calibration_error_of_qualities_agrees_with_a_loop() -> None:
    assert success_error(SUCCESS, QUALITY) == pytest.approx(error_looped(SUCCESS, QUALITY))


def test_a_forecast_on_an_edge_is_in_the_bin_below_it() -> None:
    table = reliability(np.array([0.0, 0.5, 1.0]), np.array([0.1, 0.2, 0.3]), bins=2)
    assert [row.answers for row in table] == [2, 1]


def test_the_reliability_table_is_scipys_binned_mean() -> None:
    from scipy.stats import binned_statistic

    known = ~np.isnan(QUALITY)
    oracle = binned_statistic(SUCCESS[known], QUALITY[known], "mean", bins=15, range=(0, 1))
    table = reliability(SUCCESS, QUALITY)
    np.testing.assert_allclose([row.quality for row in table], oracle.statistic)
    assert sum(row.answers for row in table) == known.sum()
    assert (table[0].low, table[-1].high) == (0.0, 1.0)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_success_that_is_the_quality_has_no_calibration_error(values: list[float]) -> None:
    assert success_error(np.array(values), np.array(values)) == pytest.approx(0.0, abs=1e-12)


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_constant_forecast_errs_by_its_distance_from_the_mean(forecast: float, quality: float) -> None:
    found = success_error(np.full(9, forecast), np.full(9, quality))
    assert found == pytest.approx(abs(forecast - quality), abs=1e-12)


def test_the_bootstrapped_calibration_error_agrees_with_a_loop_over_draws() -> None:
    found = bootstrap_success_error(SUCCESS, QUALITY, draws=10, seed=2)
    for i, counts in enumerate(np.concatenate(list(resample_weights(30, 10, 2)))):
        rows = np.repeat(np.arange(30), counts.astype(int))
        assert found[i] == pytest.approx(error_looped(SUCCESS[rows], QUALITY[rows]))


def test_qualities_that_nobody_knows_cannot_be_calibrated() -> None:
    with pytest.raises(UsageError, match="no answer's quality is known"):
        success_error(SUCCESS, np.full(SUCCESS.shape, np.nan))


def test_success_of_another_shape_is_refused() -> None:
    with pytest.raises(UsageError, match="differ in shape"):
        reliability(SUCCESS, QUALITY[:, :2])

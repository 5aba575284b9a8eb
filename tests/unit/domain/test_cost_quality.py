from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.spatial import ConvexHull

from fusionapp.domain.errors import UsageError
from fusionapp.domain.routing.cost_quality import (
    aiq,
    aiq_of_prompts,
    bootstrap_aiq,
    hull,
    hull_quality,
    pareto_front,
    setting_means,
)
from fusionapp.domain.routing.weak_strong import Handover, apgr, bootstrap_handover, cpt
from fusionapp.domain.statistics.bootstrap import resample_weights

Vector = NDArray[np.float64]
COST = np.array([1.0, 2.0, 4.0, 5.0, 8.0])
QUALITY = np.array([0.2, 0.6, 0.5, 0.8, 0.7])


def points(seed: int, count: int = 12) -> tuple[Vector, Vector]:
    rng = np.random.default_rng(seed)
    return rng.uniform(1, 10, count), rng.random(count)


def slow_height(cost: Vector, quality: Vector, at: float) -> float:
    """The best mixture of any two points, or a point and spare money, at a cost."""
    if at < cost.min():
        cheapest = min(range(len(cost)), key=lambda i: (cost[i], -quality[i]))
        return float(quality[cheapest] * at / cost[cheapest])
    best = max(q for c, q in zip(cost, quality, strict=True) if c <= at)
    for c1, q1 in zip(cost, quality, strict=True):
        for c2, q2 in zip(cost, quality, strict=True):
            if c1 <= at < c2:
                best = max(best, q1 + (q2 - q1) * (at - c1) / (c2 - c1))
    return float(best)


@given(st.integers(0, 300), st.floats(0, 12))
def test_the_hull_is_the_best_mixture_of_two_points(seed: int, at: float) -> None:
    cost, quality = points(seed)
    found = hull_quality(hull(cost, quality), np.array([at]))[0]
    assert found == pytest.approx(slow_height(cost, quality, at), abs=1e-12)


@pytest.mark.parametrize("seed", range(10))
def test_the_hulls_corners_are_among_scipys(seed: int) -> None:
    cost, quality = points(seed)
    below = np.vstack([np.column_stack([cost, quality]), [[cost.min(), -1], [99, -1], [99, quality.max()]]])
    outer = {tuple(below[i]) for i in ConvexHull(below).vertices}
    upper = {p for p in outer if p[1] >= 0 and p[0] < 99}
    assert {tuple(corner) for corner in hull(cost, quality)} == upper


@given(st.integers(0, 300))
def test_the_hull_rises_ever_more_slowly(seed: int) -> None:
    corners = hull(*points(seed))
    slopes = np.diff(corners[:, 1]) / np.diff(corners[:, 0])
    assert (slopes > 0).all()
    assert (np.diff(slopes) < 1e-12).all()


def test_of_points_of_one_cost_the_best_is_a_corner() -> None:
    assert hull(np.array([1.0, 1.0, 2.0]), np.array([0.1, 0.3, 0.2])).tolist() == [[1.0, 0.3]]


@pytest.mark.parametrize(("low", "high"), [(1.0, 8.0), (0.5, 20.0), (3.0, 4.5)])
def test_aiq_is_scipys_integral_of_the_slow_height(low: float, high: float) -> None:
    oracle, _ = quad(lambda c: slow_height(COST, QUALITY, c), low, high, points=COST, limit=200)
    assert aiq(COST, QUALITY, low, high) == pytest.approx(oracle / (high - low), rel=1e-8)


@given(st.integers(0, 300), st.floats(0.1, 1000))
def test_aiq_knows_no_unit_of_money(seed: int, rate: float) -> None:
    cost, quality = points(seed)
    assert aiq(cost * rate, quality, rate, 10 * rate) == pytest.approx(aiq(cost, quality, 1, 10))


@given(st.integers(0, 300))
def test_a_further_point_never_lowers_aiq(seed: int) -> None:
    cost, quality = points(seed)
    cost[0] = 1.0  # the cheapest stays the cheapest
    assert aiq(cost, quality, 1, 10) >= aiq(cost[:-1], quality[:-1], 1, 10) - 1e-12


def test_a_single_point_has_its_own_quality_as_aiq() -> None:
    assert aiq(np.array([1.0]), np.array([0.4]), 1.0, 3.0) == pytest.approx(0.4)


def test_a_range_without_width_is_refused() -> None:
    with pytest.raises(UsageError, match=r"range of costs, not 1.0 to 1.0"):
        aiq(COST, QUALITY, 1.0, 1.0)


def test_a_hull_of_unknown_costs_is_refused() -> None:
    with pytest.raises(UsageError, match="known cost"):
        hull(np.array([np.nan]), np.array([0.1]))


def test_bootstrapped_aiq_agrees_with_a_loop_over_draws() -> None:
    rng = np.random.default_rng(0)
    cost, quality = rng.uniform(1, 10, (6, 30)), rng.random((6, 30))
    found = bootstrap_aiq(cost, quality, 2.0, 8.0, draws=10, seed=3)
    for i, counts in enumerate(np.concatenate(list(resample_weights(30, 10, 3)))):
        rows = np.repeat(np.arange(30), counts.astype(int))
        assert found[i] == pytest.approx(aiq(cost[:, rows].mean(1), quality[:, rows].mean(1), 2.0, 8.0))


@given(st.integers(0, 300))
def test_unknown_qualities_count_in_no_mean(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cost, quality = rng.uniform(1, 10, (4, 12)), rng.random((4, 12))
    quality[rng.random(quality.shape) < 0.5] = np.nan
    weights = rng.integers(0, 3, (3, 12)).astype(np.float32) + np.float32(0.5)
    spent, means = setting_means(cost, quality, weights)
    for draw in range(3):
        for setting in range(4):
            some = np.isfinite(quality[setting])
            assert spent[draw, setting] == pytest.approx(np.average(cost[setting], weights=weights[draw]))
            if some.any():
                known = np.average(quality[setting][some], weights=weights[draw][some])
                assert means[draw, setting] == pytest.approx(known)
            else:
                assert np.isnan(means[draw, setting])


def test_aiq_is_that_of_the_settings_of_which_something_is_known() -> None:
    cost, quality = np.array([[1.0, 1.0], [2.0, 2.0]]), np.array([[0.4, np.nan], [np.nan, np.nan]])
    assert aiq_of_prompts(cost, quality, 1.0, 3.0) == pytest.approx([0.4])
    assert np.isnan(aiq_of_prompts(cost, quality * np.nan, 1.0, 3.0)).all()


@given(st.integers(0, 300))
def test_the_pareto_front_agrees_with_a_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cost, quality = rng.integers(0, 4, (2, 8))
    front = pareto_front(cost, quality)
    for i in range(8):
        beaten = any(
            cost[j] <= cost[i] and quality[j] >= quality[i] and (cost[j], quality[j]) != (cost[i], quality[i])
            for j in range(8)
        )
        assert front[i] == (not beaten)


def test_the_pareto_front_holds_every_corner_of_the_hull() -> None:
    cost, quality = points(1)
    front = {tuple(p) for p in np.column_stack([cost, quality])[pareto_front(cost, quality)]}
    assert {tuple(corner) for corner in hull(cost, quality)} <= front


def routed(seed: int = 0, count: int = 40, levels: int | None = None) -> tuple[Vector, Vector, Vector]:
    rng = np.random.default_rng(seed)
    weak, strong = rng.random(count) * 0.6, 0.3 + rng.random(count) * 0.7
    lead = strong - weak + rng.normal(size=count)
    return (lead if levels is None else np.round(lead * levels) / levels), weak, strong


def slow_curve(lead: Vector, weak: Vector, strong: Vector) -> Vector:
    """PGR after 0, 1, 2, ... calls, equals in the mean over random orders: each group's gain spread evenly."""
    gain = np.array([np.mean((strong - weak)[lead == each]) for each in lead])
    order = sorted(range(len(lead)), key=lambda i: -lead[i])
    curve = np.array([sum(gain[order[:calls]]) for calls in range(len(lead) + 1)], dtype=np.float64)
    share: Vector = curve / curve[-1]
    return share


@pytest.mark.parametrize("levels", [None, 2])
def test_apgr_agrees_with_a_loop_over_calls(levels: int | None) -> None:
    curve = slow_curve(*routed(levels=levels))
    assert apgr(Handover.of(*routed(levels=levels))) == pytest.approx(np.mean((curve[1:] + curve[:-1]) / 2))


def test_apgr_is_scikit_learns_area_under_the_curve() -> None:
    from sklearn.metrics import auc

    assert apgr(Handover.of(*routed())) == pytest.approx(auc(np.linspace(0, 1, 41), slow_curve(*routed())))


@pytest.mark.parametrize("levels", [None, 2])
@pytest.mark.parametrize("recovered", [0.5, 0.8, 1.0])
def test_cpt_agrees_with_numpys_interpolation_on_the_curve(levels: int | None, recovered: float) -> None:
    curve = slow_curve(*routed(levels=levels))
    reached = int(np.argmax(curve >= recovered - 1e-12))
    part = (recovered - curve[reached - 1]) / (curve[reached] - curve[reached - 1])
    found = cpt(Handover.of(*routed(levels=levels)), recovered)
    assert found == pytest.approx((reached - 1 + part) / 40)


@given(st.integers(0, 300))
def test_equal_leads_recover_as_a_random_order_does(seed: int) -> None:
    _, weak, strong = routed(seed)
    handover = Handover.of(np.zeros(40), weak, strong)
    assert apgr(handover) == pytest.approx(0.5)
    assert cpt(handover, 0.8) == pytest.approx(0.8)


@given(st.integers(0, 300))
def test_no_order_recovers_more_than_that_of_the_true_gain(seed: int) -> None:
    lead, weak, strong = routed(seed)
    best = Handover.of(strong - weak, weak, strong)
    assert apgr(best) >= apgr(Handover.of(lead, weak, strong)) - 1e-12
    assert cpt(best, 0.5) <= cpt(Handover.of(lead, weak, strong), 0.5) + 1e-12


def test_a_strong_model_that_is_not_better_has_no_gap_to_recover() -> None:
    lead, weak, strong = routed()
    handover = Handover.of(lead, strong, weak)
    assert np.isnan(apgr(handover))
    assert np.isnan(cpt(handover, 0.5))


@pytest.mark.parametrize("levels", [None, 2])
def test_bootstrapped_handovers_agree_with_a_loop_over_draws(levels: int | None) -> None:
    columns = routed(levels=levels)
    found = bootstrap_handover(Handover.of(*columns), draws=10, seed=4)
    for i, counts in enumerate(np.concatenate(list(resample_weights(40, 10, 4)))):
        rows = np.repeat(np.arange(40), counts.astype(int))
        drawn = Handover.of(*(column[rows] for column in columns))
        assert found["apgr"][i] == pytest.approx(apgr(drawn))
        assert found["cpt@50"][i] == pytest.approx(cpt(drawn, 0.5))
        assert found["cpt@80"][i] == pytest.approx(cpt(drawn, 0.8))


def test_a_recovery_beyond_one_is_refused() -> None:
    with pytest.raises(UsageError, match=r"recovery of 1.5"):
        cpt(Handover.of(*routed()), 1.5)


def test_prompts_that_one_of_the_two_did_not_answer_are_refused() -> None:
    lead, weak, strong = routed()
    with pytest.raises(UsageError, match="leave out prompts"):
        Handover.of(lead, weak, np.where(strong > 0.9, np.nan, strong))


def test_lengths_that_differ_are_refused() -> None:
    lead, weak, strong = routed()
    with pytest.raises(UsageError, match="40 leads, 39 and 40 qualities"):
        Handover.of(lead, weak[1:], strong)

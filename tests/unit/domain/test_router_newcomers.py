"""Cold start: three witnesses, and what it costs."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.optimize import minimize

from fusionapp.domain.errors import UsageError
from fusionapp.domain.routing.newcomers import (
    ColdStartCost,
    Newcomer,
    cold_start_costs,
    fit_newcomer,
    mean_cost,
)


def drawn(probes: int = 30, models: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    known = rng.random((probes, models))
    weights = np.array([0.7, 0.0, 0.3, 0.0])[:models]
    return known, np.clip(known @ weights + rng.normal(size=probes) * 0.02, 0, 1)


def objective(weights: np.ndarray, known: np.ndarray, quality: np.ndarray, penalty: float) -> float:
    """As the docstring has it, one term at a time."""
    total = 0.0
    for row in range(len(known)):
        told = sum(weights[m] * (known[row, m] - known[:, m].mean()) for m in range(known.shape[1]))
        total += (quality[row] - quality.mean() - told) ** 2
    return float(total) + penalty * sum(float(weight - 1 / known.shape[1]) ** 2 for weight in weights)


def test_weights_minimise_the_objective_that_a_loop_spells_out() -> None:
    known, quality = drawn()
    fitted = fit_newcomer("new", known, quality)
    best = objective(fitted.weights, known, quality, fitted.penalty)
    rng = np.random.default_rng(1)
    for _ in range(50):
        other = np.maximum(fitted.weights + rng.normal(size=4) * 0.05, 0)
        assert objective(other, known, quality, fitted.penalty) >= best - 1e-9


def test_weights_are_those_that_a_general_optimiser_finds() -> None:
    known, quality = drawn(seed=3)
    fitted = fit_newcomer("new", known, quality)
    found = minimize(
        objective,
        np.full(4, 0.25),
        args=(known, quality, fitted.penalty),
        bounds=[(0, None)] * 4,
        options={"ftol": 1e-14},
    )
    np.testing.assert_allclose(fitted.weights, found.x, atol=1e-4)


def left_out_errors(known: np.ndarray, quality: np.ndarray, penalty: float) -> list[float]:
    """Squared error of each probe by a fit to the other nine parts, by a general optimiser."""
    errors = [0.0] * len(quality)
    for fold in range(10):
        kept = [row for row in range(len(quality)) if row % 10 != fold]
        x, y = known[kept], quality[kept]
        start, bounds = np.full(known.shape[1], 1 / known.shape[1]), [(0, None)] * known.shape[1]
        found = minimize(objective, start, args=(x, y, penalty), bounds=bounds, options={"ftol": 1e-14}).x
        level = (y.sum() + 5 * x.mean()) / (len(y) + 5)
        for row in range(fold, len(quality), 10):
            errors[row] = float(level + (known[row] - x.mean(axis=0)) @ found - quality[row]) ** 2
    return errors


@pytest.mark.parametrize(("noise", "seed"), [(0.02, 0), (0.5, 1), (0.5, 2)])
def test_the_penalty_is_the_strongest_within_a_standard_error_of_the_best(noise: float, seed: int) -> None:
    known, quality = drawn(20, seed=seed)
    quality = np.clip(quality + np.random.default_rng(seed).normal(size=20) * noise, 0, 1)
    errors = {penalty: left_out_errors(known, quality, penalty) for penalty in (0.3, 1.0, 3.0, 10.0)}
    best = min(errors, key=lambda penalty: sum(errors[penalty]))
    within = []
    for penalty, each in errors.items():
        excess = [one - other for one, other in zip(each, errors[best], strict=True)]
        if sum(excess) / 20 <= np.std(excess, ddof=1) / 20**0.5 + 1e-9:
            within.append(penalty)
    assert fit_newcomer("new", known, quality).penalty == max(within)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(1, 5), st.integers(0, 1000))
def test_weights_are_not_negative_and_qualities_lie_within_0_and_1(
    probes: int, models: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    fitted = fit_newcomer("new", rng.random((probes, models)), rng.random(probes))
    told = fitted(rng.random((20, models)))
    assert (fitted.weights >= 0).all()
    assert told.min() >= 0
    assert told.max() <= 1


def test_a_mixture_of_known_models_is_found_from_few_probes() -> None:
    known, quality = drawn(probes=40)
    fresh, truth = drawn(probes=200, seed=5)
    told = fit_newcomer("new", known, quality)(fresh)
    assert np.abs(told - truth).mean() < 0.04


def test_one_probe_gives_the_average_of_known_models_moved_towards_it() -> None:
    fitted = fit_newcomer("new", np.array([[0.2, 0.4]]), np.array([0.9]))
    np.testing.assert_allclose(fitted.weights, [0.5, 0.5], atol=1e-6)
    assert fitted.level == pytest.approx((0.9 + 5 * 0.3) / 6)


def test_probes_that_were_not_answered_count_for_nothing() -> None:
    known, quality = drawn()
    gaps = quality.copy()
    gaps[::3] = np.nan
    kept = ~np.isnan(gaps)
    one, two = fit_newcomer("new", known, gaps), fit_newcomer("new", known[kept], quality[kept])
    np.testing.assert_array_equal(one.weights, two.weights)
    assert one.probes == kept.sum()


@pytest.mark.parametrize("quality", [np.full(3, np.nan), np.empty(0)])
def test_a_model_that_answered_nothing_is_refused(quality: np.ndarray) -> None:
    with pytest.raises(UsageError, match="new"):
        fit_newcomer("new", np.zeros((len(quality), 2)), quality)


def test_answers_and_probes_of_different_numbers_are_refused() -> None:
    with pytest.raises(UsageError, match="one answer to each probe"):
        fit_newcomer("new", np.zeros((3, 2)), np.zeros(2))


def test_the_cost_is_measured_on_prompts_that_were_no_probes() -> None:
    rng = np.random.default_rng(0)
    expected = rng.random((60, 3))
    costs = cold_start_costs(("a", "b", "c"), expected, expected, probes=10)
    assert [cost.model for cost in costs] == ["a", "b", "c"]
    for column, cost in enumerate(costs):
        assert cost.trained_error == 0
        assert cost.entered_error > 0
        assert cost.trained_quality >= max(cost.entered_quality, cost.absent_quality)
        probes = np.random.default_rng((0, column)).choice(60, 10, replace=False)
        rest = np.setdiff1d(np.arange(60), probes)
        assert cost.trained_quality == pytest.approx(expected[rest].max(1).mean())
        assert cost.absent_quality == pytest.approx(np.delete(expected[rest], column, axis=1).max(1).mean())


def test_a_model_alike_to_another_enters_at_little_cost() -> None:
    rng = np.random.default_rng(0)
    expected = rng.random((300, 3))
    expected[:, 2] = expected[:, 0]
    costs = {c.model: c for c in cold_start_costs(("a", "b", "twin"), expected, expected, probes=50)}
    assert costs["twin"].entered_error < 0.1 * costs["b"].entered_error


@pytest.mark.parametrize("probes", [0, 60])
def test_a_number_of_probes_that_leaves_nothing_to_fit_or_measure_is_refused(probes: int) -> None:
    with pytest.raises(UsageError, match="probes"):
        cold_start_costs(("a", "b"), np.zeros((60, 2)), np.zeros((60, 2)), probes)


def test_a_newcomer_is_cut_to_what_a_quality_may_be() -> None:
    newcomer = Newcomer("new", 0.9, np.array([0.5]), np.array([2.0]), 1, 1.0)
    np.testing.assert_allclose(newcomer(np.array([[1.0], [0.5], [0.0]])), [1.0, 0.9, 0.0], atol=1e-6)


def test_the_mean_of_costs_is_that_of_each_number() -> None:
    one, other = (ColdStartCost("a", 3, *(start + np.arange(5) / 10)) for start in (0.0, 1.0))
    found = mean_cost("mean", [one, other])
    assert (found.model, found.probes) == ("mean", 3)
    assert found.trained_error == pytest.approx(0.5)
    assert found.absent_quality == pytest.approx(0.9)


def test_a_newcomer_survives_json_bit_for_bit() -> None:
    fitted = fit_newcomer("new", *drawn())
    read = Newcomer.of_json("new", json.loads(json.dumps(fitted.to_json())), 4)
    fresh = np.random.default_rng(2).random((20, 4))
    np.testing.assert_array_equal(read(fresh), fitted(fresh))
    assert (read.probes, read.penalty) == (fitted.probes, fitted.penalty)


def test_a_mixture_of_another_number_of_models_is_told() -> None:
    with pytest.raises(ValueError, match="'new' is no mixture of 5 models"):
        Newcomer.of_json("new", fit_newcomer("new", *drawn()).to_json(), 5)

"""Prompt-blind strengths, and the low-rank baseline, against definitions and libraries."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize

from fusionapp.domain.errors import UsageError
from fusionapp.domain.routing.answers import FIRST, SECOND, TIE, Battles
from fusionapp.domain.routing.factorisation import Factorisation
from fusionapp.domain.routing.strengths import log_strengths

TRUE = np.array([-1.0, -0.3, 0.2, 1.1])


def fought(seed: int = 0, count: int = 400, truth: NDArray[np.float64] = TRUE) -> Battles:
    rng = np.random.default_rng(seed)
    first = rng.integers(0, len(truth), count)
    second = (first + rng.integers(1, len(truth), count)) % len(truth)
    won = rng.random(count) < 1 / (1 + np.exp(truth[second] - truth[first]))
    outcome = np.where(rng.random(count) < 0.1, TIE, np.where(won, FIRST, SECOND))
    names = [f"m{i}" for i in range(len(truth))]
    return Battles(names, np.zeros(count, np.int64), first, second, outcome.astype(np.int8))


def loss(logs: NDArray[np.float64], some: Battles, prior: float) -> float:
    total = 0.0
    for first, second, outcome in zip(some.first, some.second, some.outcome, strict=True):
        share = {FIRST: 1.0, SECOND: 0.0}.get(int(outcome), 0.5)
        lead = logs[first] - logs[second]
        total += share * np.log1p(np.exp(-lead)) + (1 - share) * np.log1p(np.exp(lead))
    for each in logs:
        total += prior / 2 * (np.log1p(np.exp(-each)) + np.log1p(np.exp(each)))
    return float(total)


def test_strengths_are_where_a_general_minimiser_of_the_loss_ends() -> None:
    some = fought()
    found = minimize(loss, np.zeros(4), args=(some, 1.0), tol=1e-10).x
    np.testing.assert_allclose(log_strengths(some), found - found.mean(), atol=1e-4)


def test_strengths_agree_with_scikit_learns_logistic_regression() -> None:
    """Without ties, and with hardly any prior, it is a logistic regression on +1 and -1 for the two sides."""
    from sklearn.linear_model import LogisticRegression

    some = fought(1)
    rows = np.flatnonzero(some.outcome != TIE)
    some = Battles(some.models, some.prompts[rows], some.first[rows], some.second[rows], some.outcome[rows])
    X = np.eye(4)[some.first] - np.eye(4)[some.second]
    oracle = LogisticRegression(C=1e6, fit_intercept=False, tol=1e-10).fit(X, some.outcome == FIRST).coef_[0]
    np.testing.assert_allclose(log_strengths(some, prior=1e-5), oracle - oracle.mean(), atol=1e-3)


@given(st.integers(0, 200), st.permutations(range(4)))
def test_strengths_follow_their_models_through_any_order(seed: int, order: list[int]) -> None:
    some = fought(seed, 60)
    numbers = np.array(order)
    moved = Battles(some.models, some.prompts, numbers[some.first], numbers[some.second], some.outcome)
    np.testing.assert_allclose(log_strengths(moved)[numbers], log_strengths(some), atol=1e-6)


def test_many_battles_reveal_the_true_strengths() -> None:
    some = fought(count=40_000)
    decided = log_strengths(some)
    np.testing.assert_array_equal(decided.argsort(), TRUE.argsort())


def test_a_model_that_always_won_stays_finite() -> None:
    won = Battles(["a", "b"], np.zeros(5, np.int64), np.zeros(5, np.int64), np.ones(5, np.int64), np.ones(5, np.int8))
    strengths = log_strengths(won)
    assert np.isfinite(strengths).all()
    assert strengths[0] > strengths[1]


def test_models_that_never_fought_are_of_one_strength() -> None:
    none = np.zeros(0, np.int64)
    np.testing.assert_array_equal(log_strengths(Battles(["a", "b"], none, none, none, none.astype(np.int8))), 0)


RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 8)) + 1.0
Y = np.clip(0.5 + 0.1 * X @ RNG.normal(size=(8, 2)) @ RNG.normal(size=(2, 5)), 0, 1)
HOLED = np.where(RNG.random(Y.shape) < 0.3, np.nan, Y)


def objective(found: Factorisation, quality: NDArray[np.float64], penalty: float) -> float:
    """Over known qualities, one at a time."""
    total = penalty * float(((found.prompt_map @ found.model_factors.T) ** 2).sum())
    told = found(X)
    for row, column in zip(*np.nonzero(~np.isnan(quality)), strict=True):
        total += float((told[row, column] - quality[row, column]) ** 2)
    return total


def test_at_full_rank_it_is_scikit_learns_ridge() -> None:
    from sklearn.linear_model import Ridge

    oracle = Ridge(alpha=2.0).fit(X, Y).predict(X)
    np.testing.assert_allclose(Factorisation.fit(X, Y, 5, 2.0)(X), oracle, atol=1e-5)


def test_at_hardly_any_penalty_it_is_the_projection_on_the_leading_singular_vectors() -> None:
    centred, level = X - X.mean(0), Y.mean(0)
    fitted = centred @ np.linalg.lstsq(centred, Y - level, rcond=None)[0]
    leading = np.linalg.svd(fitted)[2][:2].T
    np.testing.assert_allclose(
        Factorisation.fit(X, Y, 2, 1e-9)(X), fitted @ leading @ leading.T + level, atol=1e-5
    )


def test_no_small_step_from_it_lowers_the_objective() -> None:
    found = Factorisation.fit(X, Y, 2, 2.0)
    least = objective(found, Y, 2.0)
    for seed in range(50):
        rng = np.random.default_rng(seed)
        moved = Factorisation(
            found.centre,
            found.prompt_map + 1e-2 * rng.normal(size=found.prompt_map.shape),
            found.model_factors + 1e-2 * rng.normal(size=found.model_factors.shape),
            found.level + 1e-3 * rng.normal(size=5),
        )
        assert objective(moved, Y, 2.0) > least


def test_alternation_over_known_qualities_beats_any_filling_by_means() -> None:
    filled = np.where(np.isnan(HOLED), np.nanmean(HOLED, axis=0), HOLED)
    naive = Factorisation.fit(X, filled, 2, 2.0)
    assert objective(Factorisation.fit(X, HOLED, 2, 2.0), HOLED, 2.0) < objective(naive, HOLED, 2.0)


def test_at_full_rank_unknown_qualities_leave_each_models_own_ridge() -> None:
    from sklearn.linear_model import Ridge

    found = Factorisation.fit(X, HOLED, 5, 2.0)(X)
    for model in range(5):
        known = ~np.isnan(HOLED[:, model])
        np.testing.assert_allclose(
            found[:, model], Ridge(alpha=2.0).fit(X[known], HOLED[known, model]).predict(X), atol=5e-3
        )


@given(st.integers(1, 5), st.floats(1e-3, 1e3))
def test_the_products_rank_is_no_more_than_asked(rank: int, penalty: float) -> None:
    found = Factorisation.fit(X, Y, rank, penalty)
    assert found.model_factors.shape == (5, rank)
    np.testing.assert_allclose(found.model_factors.T @ found.model_factors, np.eye(rank), atol=1e-9)


@pytest.mark.parametrize(
    ("rank", "penalty", "message"), [(0, 1.0, "rank 0"), (1, 0.0, "penalty 0.0"), (1, float("nan"), "nan")]
)
def test_senseless_settings_are_refused(rank: int, penalty: float, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Factorisation.fit(X, Y, rank, penalty)


def test_a_model_that_answered_nothing_is_refused() -> None:
    silent = Y.copy()
    silent[:, 3] = np.nan
    with pytest.raises(UsageError, match=r"columns \[3\] answered no prompt"):
        Factorisation.fit(X, silent, 2, 1.0)


def test_rows_that_differ_are_refused() -> None:
    with pytest.raises(UsageError, match="60 embeddings, but qualities of 59"):
        Factorisation.fit(X, Y[1:], 2, 1.0)

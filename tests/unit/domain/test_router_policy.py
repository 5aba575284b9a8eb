from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from numpy.typing import NDArray

from fusionapp.domain.errors import UsageError
from fusionapp.domain.routing.policy import (
    NO_MODEL,
    Choice,
    Policy,
    Reason,
    choose,
    trade_offs,
)

Table = NDArray[np.float64]
POLICIES = [
    Policy(),
    Policy(max_cost=2.0),
    Policy(min_quality=0.6),
    Policy(min_quality=0.5),
    Policy(trade_off=0.1),
    Policy(max_cost=2.0, min_quality=0.6),
    Policy(max_cost=2.0, trade_off=0.1),
]


def tables(seed: int, rows: int = 40, models: int = 4) -> tuple[Table, Table, Table]:
    """Coarse numbers, so that there are many ties, and a success that steps with the score."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 5, size=(rows, models)) / 2 - 1
    success = np.round((scores + 1) / 2 * 2) / 2
    return scores, success, rng.integers(1, 5, size=(rows, models)).astype(np.float64)


def looped(scores: Table, success: Table, cost: Table, policy: Policy) -> list[tuple[int, int]]:
    chosen = []
    for s, p, c in zip(scores.tolist(), success.tolist(), cost.tolist(), strict=True):
        models = range(len(s))
        allowed = [m for m in models if policy.max_cost is None or c[m] <= policy.max_cost]
        if not allowed:
            chosen.append((min(models, key=lambda m: (c[m], -s[m], m)), Reason.OVER_BUDGET))
            continue
        best = min(allowed, key=lambda m: (-s[m], c[m], m))
        good = [m for m in allowed if policy.min_quality is None or p[m] >= policy.min_quality]
        if not good:
            chosen.append((best, Reason.BELOW_QUALITY))
        elif policy.min_quality is not None:
            chosen.append((min(good, key=lambda m: (c[m], -s[m], m)), Reason.BEST))
        elif policy.trade_off is not None:
            value = policy.trade_off
            chosen.append((min(allowed, key=lambda m: (value * c[m] - p[m], c[m], m)), Reason.BEST))
        else:
            chosen.append((best, Reason.BEST))
    return [(model, int(reason)) for model, reason in chosen]


def pairs(choice: Choice) -> list[tuple[int, int]]:
    return list(zip(choice.model.tolist(), choice.reason.tolist(), strict=True))


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("seed", range(5))
def test_choices_agree_with_a_loop_over_prompts(policy: Policy, seed: int) -> None:
    assert pairs(choose(*tables(seed), policy)) == looped(*tables(seed), policy)


def test_without_limits_the_choice_is_numpys_argmax_where_nothing_ties() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(50, 6))
    choice = choose(scores, np.zeros((50, 6)), np.full((50, 6), np.nan), Policy())
    np.testing.assert_array_equal(choice.model, scores.argmax(1))


def test_of_equally_good_models_the_cheaper_is_chosen_and_then_the_earlier() -> None:
    scores = np.array([[0.5, 0.5, 0.5]])
    assert choose(scores, scores, np.array([[3.0, 1.0, 1.0]]), Policy()).model.tolist() == [1]


def test_the_best_by_score_wins_though_its_success_is_on_the_same_step() -> None:
    scores, success = np.array([[0.1, 0.2]]), np.array([[0.6, 0.6]])
    assert choose(scores, success, np.array([[1.0, 9.0]]), Policy()).model.tolist() == [1]


@given(st.integers(0, 500), st.floats(0, 5), st.floats(0, 5))
def test_a_larger_budget_never_lowers_the_score(seed: int, one: float, other: float) -> None:
    scores, success, cost = tables(seed)
    low, high = sorted([one, other])
    rows = np.arange(len(scores))
    small, large = (choose(scores, success, cost, Policy(max_cost=limit)) for limit in (low, high))
    within = small.reason == Reason.BEST
    assert (scores[rows, large.model] >= scores[rows, small.model])[within].all()


@given(st.integers(0, 500), st.floats(0, 2), st.floats(0, 2))
def test_a_higher_price_of_money_never_raises_the_cost(seed: int, one: float, other: float) -> None:
    scores, success, cost = tables(seed)
    rows = np.arange(len(scores))
    spent = [
        cost[rows, choose(scores, success, cost, Policy(trade_off=value)).model]
        for value in sorted([one, other])
    ]
    assert (spent[1] <= spent[0]).all()


def test_unfamiliar_prompts_go_to_the_fallback_and_say_so() -> None:
    unfamiliar = np.arange(40) % 3 == 0
    choice = choose(*tables(0), Policy(), unfamiliar, fallback=2)
    assert (choice.model[unfamiliar] == 2).all()
    assert (choice.reason[unfamiliar] == Reason.UNFAMILIAR).all()
    np.testing.assert_array_equal(choice.model[~unfamiliar], choose(*tables(0), Policy()).model[~unfamiliar])


def test_without_a_fallback_the_router_abstains() -> None:
    choice = choose(*tables(0), Policy(), np.ones(40, dtype=bool))
    assert (choice.model == NO_MODEL).all()


def test_unknown_costs_are_taken_by_quality_alone_and_refused_by_a_budget() -> None:
    scores, success, cost = tables(0)
    cost[:, 1] = np.nan
    choose(scores, success, cost, Policy())
    with pytest.raises(UsageError, match=r"unknown in columns \[1\]"):
        choose(scores, success, cost, Policy(max_cost=1.0))


def test_of_equally_good_models_one_of_unknown_cost_comes_last() -> None:
    scores = np.array([[0.5, 0.5]])
    assert choose(scores, scores, np.array([[np.nan, 1.0]]), Policy()).model.tolist() == [1]


def test_shapes_that_differ_are_refused() -> None:
    scores, success, cost = tables(0)
    with pytest.raises(UsageError, match="differ in shape"):
        choose(scores, success[:, :2], cost, Policy())


def test_a_score_that_is_no_number_is_refused() -> None:
    scores, success, cost = tables(0)
    with pytest.raises(UsageError, match="not a number"):
        choose(np.where(scores > 0, np.nan, scores), success, cost, Policy())


def test_a_fallback_that_is_no_column_is_refused() -> None:
    with pytest.raises(UsageError, match="fallback 4 is none of 4 models"):
        choose(*tables(0), Policy(), fallback=4)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"min_quality": 1.2}, "min_quality 1.2"),
        ({"max_cost": -1.0}, "max_cost -1.0"),
        ({"trade_off": float("nan")}, "trade_off nan"),
        ({"min_quality": 0.5, "trade_off": 1.0}, "two different policies"),
    ],
)
def test_senseless_limits_are_refused(limits: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Policy(**limits)


@given(st.integers(0, 200))
def test_trade_offs_lead_from_the_best_to_the_cheapest_model(seed: int) -> None:
    rng = np.random.default_rng(seed)
    success, cost = rng.random((30, 5)), np.tile(rng.uniform(1e-6, 1e-3, 5), (30, 1))
    values = trade_offs(success, cost)
    assert (np.diff(values) > 0).all()
    ends = [
        choose(success, success, cost, Policy(trade_off=value)).model for value in (values[0], values[-1])
    ]
    np.testing.assert_array_equal(ends[0], success.argmax(1))
    np.testing.assert_array_equal(ends[1], cost.argmin(1))


def test_where_all_models_are_equally_dear_there_is_nothing_to_trade() -> None:
    assert trade_offs(np.random.default_rng(0).random((5, 3)), np.ones((5, 3))).tolist() == [0.0]


def test_every_choice_that_some_lambda_makes_is_made_by_one_of_the_trade_offs() -> None:
    """For one prompt of three models, found with a fine grid."""
    success, cost = np.array([[0.9, 0.7, 0.2]]), np.array([[10.0, 4.0, 1.0]])
    grid, ours = np.linspace(0, 1, 2001), trade_offs(success, cost)
    made = [
        {int(choose(success, success, cost, Policy(trade_off=value)).model[0]) for value in values}
        for values in (grid, ours)
    ]
    assert made[0] == made[1] == {0, 1, 2}

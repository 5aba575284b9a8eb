from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from numpy.typing import NDArray

from fusionapp.domain.errors import UsageError
from fusionapp.domain.routing.answers import BOTH_BAD, FIRST, SECOND, TIE
from fusionapp.domain.routing.losses import (
    bradley_terry,
    log_threshold,
    margin_ranking,
    rao_kupper,
    regression,
)
from fusionapp.domain.routing.mapping import (
    logit_of_score,
    quality_of_score,
    score_of_logit,
    score_of_quality,
)

RNG = np.random.default_rng(0)
A, B, AVERAGE = RNG.normal(size=(3, 12))
OUTCOME = np.array([FIRST, SECOND, TIE, BOTH_BAD] * 3, dtype=np.int8)
WEIGHTS = RNG.uniform(0.1, 2.0, 12)
DECIDED = np.array([FIRST, SECOND] * 6, dtype=np.int8)
LOG_THETA = 0.4
OPTIONS = list(product(["tie", "penalize", "ignore"], [None, WEIGHTS]))

LOSSES: dict[str, Callable[..., Any]] = {
    "margin": partial(margin_ranking, margin=0.3),
    "bradley_terry": bradley_terry,
    "rao_kupper": lambda a, b, y, **rest: rao_kupper(a, b, y, log_theta=a[0] * 0 + LOG_THETA, **rest),
}


def decided(name: str, lead: float) -> float:
    """What a win by `lead` costs, straight from the definition."""
    if name == "margin":
        return max(0.0, -lead + 0.3)
    theta = np.exp(LOG_THETA) if name == "rao_kupper" else 1.0
    winner, loser = np.exp(lead), 1.0
    return float(-np.log(winner / (winner + theta * loser)))


def tied(name: str, lead: float) -> float:
    if name == "margin":
        return max(0.0, abs(lead) - 0.3)
    if name == "bradley_terry":
        return (decided(name, lead) + decided(name, -lead)) / 2
    theta, first = np.exp(LOG_THETA), np.exp(lead)
    return float(-np.log((theta**2 - 1) * first / ((first + theta) * (theta * first + 1))))


def looped(name: str, both_bad: str, weights: NDArray[np.float64] | None) -> float:
    total = weight = 0.0
    for i, outcome in enumerate(OUTCOME):
        lead, w = A[i] - B[i], 1.0 if weights is None else weights[i]
        if outcome == BOTH_BAD and both_bad == "ignore":
            continue
        if outcome == BOTH_BAD and both_bad == "penalize":
            loss = (decided(name, AVERAGE[i] - A[i]) + decided(name, AVERAGE[i] - B[i])) / 2
        elif outcome in (FIRST, SECOND):
            loss = decided(name, lead * outcome)
        else:
            loss = tied(name, lead)
        total, weight = total + w * loss, weight + w
    return total / weight


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(("both_bad", "weights"), OPTIONS)
def test_a_loss_over_battles_agrees_with_a_loop(
    name: str, both_bad: str, weights: Any, array: Callable[[Any], Any]
) -> None:
    given_weights = None if weights is None else array(weights)
    loss = LOSSES[name](
        array(A), array(B), array(OUTCOME), weights=given_weights, both_bad=both_bad, average=array(AVERAGE)
    )
    np.testing.assert_allclose(float(loss), looped(name, both_bad, weights), rtol=1e-12)


def test_the_margin_loss_of_decided_battles_is_torchs() -> None:
    first, second, y = (torch.from_numpy(each) for each in (A, B, DECIDED))
    oracle = torch.nn.MarginRankingLoss(margin=0.3)(first, second, y.double())
    torch.testing.assert_close(margin_ranking(first, second, y, 0.3, both_bad="tie"), oracle)


def test_bradley_terry_with_half_wins_is_torchs_binary_cross_entropy() -> None:
    lead, y = torch.from_numpy(A - B), torch.from_numpy(OUTCOME)
    won = torch.where(y == FIRST, 1.0, torch.where(y == SECOND, 0.0, 0.5)).double()
    weights = torch.from_numpy(WEIGHTS)
    oracle = torch.nn.functional.binary_cross_entropy_with_logits(lead, won, weights, reduction="sum")
    loss = bradley_terry(torch.from_numpy(A), torch.from_numpy(B), y, weights, "tie")
    torch.testing.assert_close(loss, oracle / weights.sum())


def test_rao_kupper_is_an_ordered_logit_with_two_thresholds() -> None:
    """P(second) = F(-t - lead), P(tie) = F(t - lead) - F(-t - lead), F being scipy's logistic distribution."""
    from scipy.stats import logistic

    lead = A - B
    lower, upper = logistic.cdf(-LOG_THETA - lead), logistic.cdf(LOG_THETA - lead)
    likelihood = np.select([OUTCOME == FIRST, OUTCOME == SECOND], [1 - upper, lower], upper - lower)
    loss = rao_kupper(A, B, OUTCOME, np.array(LOG_THETA), both_bad="tie")
    np.testing.assert_allclose(loss, -np.log(likelihood).mean(), rtol=1e-12)


@given(st.floats(-30, 30), st.floats(0.01, 5))
def test_rao_kuppers_three_outcomes_make_up_one(lead: float, log_theta: float) -> None:
    first, second = np.array([lead]), np.zeros(1)
    losses = [
        rao_kupper(first, second, np.array([y]), np.array(log_theta), both_bad="tie")
        for y in (FIRST, SECOND, TIE)
    ]
    assert np.exp(-np.array(losses)).sum() == pytest.approx(1.0, rel=1e-9)


@pytest.mark.parametrize("name", LOSSES)
@given(seed=st.integers(0, 1000))
def test_swapping_the_sides_of_every_battle_changes_nothing(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b, average = rng.normal(size=(3, 8))
    y = rng.integers(-1, 3, 8)
    swapped = np.where(np.abs(y) == 1, -y, y)
    there, back = LOSSES[name](a, b, y, average=average), LOSSES[name](b, a, swapped, average=average)
    np.testing.assert_allclose(there, back, rtol=1e-12)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("both_bad", ["tie", "penalize", "ignore"])
def test_gradients_over_battles_agree_with_finite_differences(name: str, both_bad: str) -> None:
    sides = [torch.from_numpy(each).requires_grad_() for each in (A, B, AVERAGE)]
    y, weights = torch.from_numpy(OUTCOME), torch.from_numpy(WEIGHTS)
    assert torch.autograd.gradcheck(
        lambda a, b, c: LOSSES[name](a, b, y, weights=weights, both_bad=both_bad, average=c), sides
    )


@pytest.mark.parametrize("name", LOSSES)
def test_both_bad_pushes_both_below_the_average(name: str) -> None:
    a, b = (torch.zeros(1, dtype=torch.float64, requires_grad=True) for _ in range(2))
    LOSSES[name](a, b, torch.tensor([BOTH_BAD]), average=torch.zeros(1, dtype=torch.float64)).backward()
    assert a.grad is not None
    assert b.grad is not None
    assert a.grad > 0
    assert b.grad > 0


@pytest.mark.parametrize("name", LOSSES)
def test_stacked_seeds_keep_their_own_losses_over_battles(name: str) -> None:
    a, b, average = RNG.normal(size=(3, 2, 12))
    losses = LOSSES[name](a, b, OUTCOME, weights=WEIGHTS, average=average)
    alone = [
        LOSSES[name](a[i], b[i], OUTCOME, weights=WEIGHTS, average=average[i]) for i in range(2)
    ]
    np.testing.assert_allclose(losses, alone)


@pytest.mark.parametrize("name", LOSSES)
def test_a_batch_of_ignored_battles_costs_nothing_and_teaches_nothing(name: str) -> None:
    a = torch.ones(2, dtype=torch.float64, requires_grad=True)
    loss = LOSSES[name](a, a.detach() * 2, torch.tensor([BOTH_BAD] * 2), both_bad="ignore")
    loss.backward()
    assert loss == 0
    assert torch.equal(a.grad, torch.zeros_like(a))


@pytest.mark.parametrize("name", LOSSES)
def test_an_absurd_lead_has_a_finite_loss_and_gradient(name: str) -> None:
    a = torch.tensor([1e4, -1e4, 1e4, -1e4], dtype=torch.float64, requires_grad=True)
    y = torch.tensor([SECOND, FIRST, TIE, BOTH_BAD])
    loss = LOSSES[name](a, torch.zeros_like(a), y, average=torch.zeros_like(a))
    loss.backward()
    assert torch.isfinite(loss)
    assert a.grad is not None
    assert torch.isfinite(a.grad).all()


def test_penalizing_without_averages_is_refused() -> None:
    with pytest.raises(UsageError, match="give `average`"):
        bradley_terry(A, B, OUTCOME)


def test_an_unknown_meaning_of_both_bad_is_refused() -> None:
    with pytest.raises(UsageError, match="'loose' is unknown"):
        bradley_terry(A, B, OUTCOME, both_bad="loose")  # type: ignore[arg-type]


@given(st.floats(-500, 500))
def test_a_threshold_is_positive_whatever_its_parameter(free: float) -> None:
    threshold = float(log_threshold(np.array(free)))
    assert threshold > 0
    assert threshold == pytest.approx(np.log1p(np.exp(free)), rel=1e-9)


QUALITY = np.array([[0.0, 1.0, np.nan], [0.3, np.nan, np.nan], [0.5, 0.9, 0.1]])
SCORES = RNG.uniform(-1, 1, size=(3, 3))
CELL_WEIGHTS = RNG.uniform(0.1, 2, size=(3, 3))


@pytest.mark.parametrize("weights", [None, CELL_WEIGHTS])
def test_regression_agrees_with_a_loop(weights: Any, array: Callable[[Any], Any]) -> None:
    total = weight = 0.0
    for i, j in product(range(3), range(3)):
        if not np.isnan(QUALITY[i, j]):
            w = 1.0 if weights is None else weights[i, j]
            total, weight = total + w * (SCORES[i, j] - (2 * QUALITY[i, j] - 1)) ** 2, weight + w
    loss = regression(array(SCORES), array(QUALITY), None if weights is None else array(weights))
    np.testing.assert_allclose(float(loss), total / weight, rtol=1e-12)


def test_regression_agrees_with_scikit_learn() -> None:
    from sklearn.metrics import mean_squared_error

    known = ~np.isnan(QUALITY)
    oracle = mean_squared_error(2 * QUALITY[known] - 1, SCORES[known], sample_weight=CELL_WEIGHTS[known])
    np.testing.assert_allclose(regression(SCORES, QUALITY, CELL_WEIGHTS), oracle)


@given(st.integers(0, 1000))
def test_unknown_answers_have_no_say_in_the_regression(seed: int) -> None:
    scores = np.where(np.isnan(QUALITY), np.random.default_rng(seed).normal(size=(3, 3)), SCORES)
    np.testing.assert_allclose(regression(scores, QUALITY), regression(SCORES, QUALITY))


def test_regressions_gradient_is_finite_and_zero_at_unknown_answers() -> None:
    scores = torch.from_numpy(SCORES).requires_grad_()
    quality = torch.from_numpy(QUALITY)
    assert torch.autograd.gradcheck(lambda x: regression(x, quality), scores)
    regression(scores, quality).backward()
    assert scores.grad is not None
    assert (scores.grad[quality.isnan()] == 0).all()


def test_a_batch_without_known_answers_costs_nothing() -> None:
    assert regression(SCORES, np.full((3, 3), np.nan)) == 0


@pytest.mark.filterwarnings("ignore:Dynamo:UserWarning")
@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_over_battles_compiles_into_one_graph(name: str) -> None:
    a, b, average = (torch.from_numpy(each) for each in (A, B, AVERAGE))
    y, loss = torch.from_numpy(OUTCOME), LOSSES[name]
    compiled = torch.compile(loss, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(a, b, y, average=average), loss(a, b, y, average=average))


@given(st.floats(0, 1))
def test_quality_and_score_map_to_each_other(quality: float) -> None:
    score = score_of_quality(np.array(quality))
    assert -1 <= score <= 1
    assert quality_of_score(score) == pytest.approx(quality, abs=1e-15)


@given(st.floats(-6, 6))
def test_logit_and_score_map_to_each_other(logit: float) -> None:
    score = score_of_logit(np.array(logit))
    assert logit_of_score(score) == pytest.approx(logit, abs=1e-9)
    assert quality_of_score(score) == pytest.approx(1 / (1 + np.exp(-2 * logit)), abs=1e-12)


def test_the_ends_of_the_scale_have_finite_logits(array: Callable[[Any], Any]) -> None:
    logits = np.asarray(logit_of_score(array(np.array([-1.0, 1.0], dtype=np.float32))))
    assert np.isfinite(logits).all()
    np.testing.assert_allclose(logits, [-7.25, 7.25], atol=0.1)

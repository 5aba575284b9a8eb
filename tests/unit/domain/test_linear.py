from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from numpy.typing import NDArray
from scipy.sparse import csr_array

from fusionapp.domain.linear import Design, LinearProblem, Loss, Multinomial, SquaredHinge

RNG = np.random.default_rng(0)
DENSE = np.hstack([RNG.normal(size=(12, 3)), np.ones((12, 1))])
SPARSE = RNG.normal(size=(12, 5)) * (RNG.random((12, 5)) < 0.5)
LABELS = RNG.integers(0, 3, 12)
WEIGHTS = RNG.normal(size=(9, 3))
COST = 0.7
LOSSES: list[Loss] = [
    SquaredHinge.of(LABELS, 3, np.float64),
    Multinomial.of(LABELS, 3, np.float64),
]


def design() -> Design:
    return Design(DENSE, (csr_array(SPARSE[:, :2]), csr_array(SPARSE[:, 2:])))


def problem(loss: Loss) -> LinearProblem:
    return LinearProblem(design(), loss, COST)


def total(loss: Loss, weights: NDArray[np.float64]) -> float:
    return float(problem(loss).value(weights, design().scores(weights)).sum())


def looped(loss: Loss, weights: NDArray[np.float64]) -> float:
    value = 0.0
    for j, row in enumerate(weights):
        if not (loss.free_intercept and j == 3):
            value += 0.5 * sum(w * w for w in row)
    for x, label in zip(np.hstack([DENSE, SPARSE]), LABELS, strict=True):
        z = [sum(x * weights[:, c]) for c in range(3)]
        if loss.separate:
            margins = [z[c] if c == label else -z[c] for c in range(3)]
            value += COST * sum(max(0, 1 - margin) ** 2 for margin in margins)
        else:
            value += COST * (np.log(sum(np.exp(z))) - z[label])
    return value


@pytest.mark.parametrize("loss", LOSSES)
def test_the_objective_agrees_with_a_loop(loss: Loss) -> None:
    assert total(loss, WEIGHTS) == pytest.approx(looped(loss, WEIGHTS))


@pytest.mark.parametrize("loss", LOSSES)
def test_the_gradient_agrees_with_torch_autograd(loss: Loss) -> None:
    w = torch.from_numpy(WEIGHTS).requires_grad_()
    z = torch.from_numpy(np.hstack([DENSE, SPARSE])) @ w
    if loss.separate:
        signs = torch.from_numpy(2 * np.eye(3)[LABELS] - 1)
        value = 0.5 * (w**2).sum() + COST * (1 - signs * z).clamp(min=0).square().sum()
    else:
        nats = torch.nn.functional.cross_entropy(z, torch.from_numpy(LABELS), reduction="sum")
        value = 0.5 * (w**2).sum() - 0.5 * (w[3] ** 2).sum() + COST * nats
    (oracle,) = torch.autograd.grad(value, w)
    ours = problem(loss).gradient(WEIGHTS, design().scores(WEIGHTS))
    np.testing.assert_allclose(ours, oracle.numpy(), rtol=1e-10)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_curvature_agrees_with_differences_of_the_slope(loss: Loss) -> None:
    scores, direction = design().scores(WEIGHTS), RNG.normal(size=(12, 3))
    differences = (loss.slope(scores + 1e-6 * direction) - loss.slope(scores - 1e-6 * direction)) / 2e-6
    np.testing.assert_allclose(loss.curve(scores)(direction), differences, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_weight_is_the_diagonal_of_the_curvature(loss: Loss) -> None:
    scores = design().scores(WEIGHTS)
    diagonal = [loss.curve(scores)(np.tile(column, (12, 1)))[:, c] for c, column in enumerate(np.eye(3))]
    np.testing.assert_allclose(loss.weight(scores), np.stack(diagonal, axis=1))


@settings(deadline=None)
@given(st.integers(0, 1000), st.floats(0, 1))
def test_both_objectives_are_convex(seed: int, share: float) -> None:
    a, b = np.random.default_rng(seed).normal(size=(2, 9, 3))
    for loss in LOSSES:
        chord = share * total(loss, a) + (1 - share) * total(loss, b)
        assert total(loss, share * a + (1 - share) * b) <= chord * (1 + 1e-9)


def test_blocks_multiply_as_the_stacked_matrix() -> None:
    stacked = np.hstack([DENSE, SPARSE])
    np.testing.assert_allclose(design().scores(WEIGHTS), stacked @ WEIGHTS)
    slopes = RNG.normal(size=(12, 3))
    np.testing.assert_allclose(design().back(slopes), stacked.T @ slopes)
    assert design().dim == 9


def test_separate_classes_are_problems_of_their_own() -> None:
    both = problem(LOSSES[0]).value(WEIGHTS, design().scores(WEIGHTS))
    alone = LinearProblem(design(), SquaredHinge(np.where(LABELS == 1, 1.0, -1.0)[:, None]), COST)
    column = WEIGHTS[:, 1:2]
    np.testing.assert_allclose(both[1], alone.value(column, design().scores(column))[0])

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from numpy.typing import NDArray

from fusionapp.domain.errors import UsageError
from fusionapp.domain.losses import balanced_class_weights, cross_entropy

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(6, 4)) * 3
LABELS = np.array([0, 1, 2, 3, 1, 1])
WEIGHTS = np.array([0.5, 2.0, 1.0, 0.0])
OPTIONS = list(product([None, WEIGHTS], [0.0, 0.1]))


def looped(logits: NDArray[np.float64], weights: NDArray[np.float64] | None, smoothing: float) -> float:
    total = weight = 0.0
    for row, label in zip(logits, LABELS, strict=True):
        w = np.ones(4) if weights is None else weights
        nll = [np.log(sum(np.exp(row))) - logit for logit in row]
        total += (1 - smoothing) * w[label] * nll[label]
        total += smoothing / 4 * sum(w[c] * nll[c] for c in range(4))
        weight += w[label]
    return total / weight


@pytest.mark.parametrize(("weights", "smoothing"), OPTIONS)
def test_the_loss_agrees_with_a_loop(weights: Any, smoothing: float, array: Callable[[Any], Any]) -> None:
    given_weights = None if weights is None else array(weights)
    loss = cross_entropy(array(LOGITS), array(LABELS), given_weights, smoothing)
    np.testing.assert_allclose(float(loss), looped(LOGITS, weights, smoothing), rtol=1e-12)


@pytest.mark.parametrize(("weights", "smoothing"), OPTIONS)
def test_the_loss_agrees_with_torch(weights: Any, smoothing: float) -> None:
    weight = None if weights is None else torch.from_numpy(weights)
    logits, labels = torch.from_numpy(LOGITS), torch.from_numpy(LABELS)
    oracle = torch.nn.functional.cross_entropy(logits, labels, weight=weight, label_smoothing=smoothing)
    torch.testing.assert_close(cross_entropy(logits, labels, weight, smoothing), oracle)


@pytest.mark.parametrize(("weights", "smoothing"), OPTIONS)
def test_stacked_seeds_keep_their_own_losses(weights: Any, smoothing: float) -> None:
    stacked = RNG.normal(size=(3, 6, 4))
    labels = np.stack([LABELS, LABELS[::-1], np.roll(LABELS, 1)])
    losses = cross_entropy(stacked, labels, weights, smoothing)
    alone = [cross_entropy(x, y, weights, smoothing) for x, y in zip(stacked, labels, strict=True)]
    np.testing.assert_allclose(losses, alone)
    shared = cross_entropy(stacked, LABELS, weights, smoothing)
    np.testing.assert_allclose(shared[1], cross_entropy(stacked[1], LABELS, weights, smoothing))


@given(st.integers(0, 1000), st.floats(-50, 50))
def test_a_shift_of_the_logits_changes_nothing(seed: int, shift: float) -> None:
    logits = np.random.default_rng(seed).normal(size=(6, 4))
    np.testing.assert_allclose(
        cross_entropy(logits + shift, LABELS), cross_entropy(logits, LABELS), rtol=1e-9
    )


@given(st.integers(1, 40))
def test_a_uniform_guess_costs_the_logarithm_of_the_classes(classes: int) -> None:
    loss = cross_entropy(np.zeros((3, classes)), np.zeros(3, np.int64), label_smoothing=0.1)
    np.testing.assert_allclose(loss, np.log(classes), atol=1e-12)


def test_an_improbable_label_has_a_finite_loss() -> None:
    assert cross_entropy(np.array([[0.0, 1e4]]), np.array([0])) == 1e4


@pytest.mark.parametrize(("weights", "smoothing"), OPTIONS)
def test_gradients_agree_with_finite_differences(weights: Any, smoothing: float) -> None:
    weight = None if weights is None else torch.from_numpy(weights)
    labels = torch.from_numpy(LABELS)
    logits = torch.from_numpy(LOGITS).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: cross_entropy(x, labels, weight, smoothing), logits)


@pytest.mark.filterwarnings("ignore:Dynamo:UserWarning")
def test_the_loss_compiles_into_one_graph() -> None:
    logits, labels, weights = torch.randn(2, 6, 4), torch.from_numpy(LABELS), torch.rand(4)
    compiled = torch.compile(cross_entropy, fullgraph=True, backend="eager")
    torch.testing.assert_close(
        compiled(logits, labels, weights, 0.1), cross_entropy(logits, labels, weights, 0.1)
    )


def test_balanced_weights_agree_with_scikit_learn() -> None:
    from sklearn.utils.class_weight import compute_class_weight

    oracle = compute_class_weight("balanced", classes=np.arange(4), y=LABELS)
    np.testing.assert_allclose(balanced_class_weights(LABELS, 4), oracle, rtol=1e-6)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=30))
def test_balanced_weights_give_every_present_class_one_share(labels: list[int]) -> None:
    y = np.array(labels)
    weighed = np.bincount(y, weights=balanced_class_weights(y, 6)[y], minlength=6)
    np.testing.assert_allclose(weighed[np.unique(y)], len(y) / 6, rtol=1e-5)
    assert balanced_class_weights(y, 6)[5] == 0


def test_a_label_outside_the_classes_is_refused() -> None:
    with pytest.raises(UsageError, match="from 0 to 3, but there are 3 classes"):
        balanced_class_weights(LABELS, 3)

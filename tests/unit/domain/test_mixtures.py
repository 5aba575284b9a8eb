from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from hypothesis import given, strategies as st
from numpy.typing import NDArray
from scipy.special import expit

from fusionapp.domain.fusion.mixtures import (
    attention_fusion,
    attention_weights,
    gated_fusion,
    late_fusion,
    mixture_of_experts,
)

seeds = st.integers(0, 1000)


def normal(seed: int, *shape: int) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=shape)


def share(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    raised = [np.exp(logit) for logit in logits]
    return np.array([value / sum(raised) for value in raised])


def test_experts_agree_with_a_loop(array: Callable[[Any], Any]) -> None:
    outputs, logits = normal(0, 4, 3, 5), normal(1, 4, 3)
    expected = [
        sum(w * out for w, out in zip(share(logits[row]), outputs[row], strict=True)) for row in range(4)
    ]
    np.testing.assert_allclose(np.asarray(mixture_of_experts(array(outputs), array(logits))), expected)


def test_experts_agree_with_torch_einsum() -> None:
    outputs, logits = torch.randn(2, 4, 3, 5), torch.randn(2, 4, 3)
    oracle = torch.einsum("sbe,sbed->sbd", logits.softmax(-1), outputs)
    torch.testing.assert_close(mixture_of_experts(outputs, logits), oracle)


@given(seeds)
def test_a_mixture_stays_between_its_experts(seed: int) -> None:
    outputs = normal(seed, 4, 3, 5)
    mixed = mixture_of_experts(outputs, normal(seed + 1, 4, 3) * 10)
    assert np.all(mixed <= outputs.max(axis=-2) + 1e-9)
    assert np.all(mixed >= outputs.min(axis=-2) - 1e-9)


def test_gates_agree_with_a_loop(array: Callable[[Any], Any]) -> None:
    hidden, logits = normal(0, 4, 3, 5), normal(1, 4, 3, 5)
    expected = np.zeros((4, 5))
    for row, dim in np.ndindex(4, 5):
        expected[row, dim] = sum(share(logits[row, :, dim]) * hidden[row, :, dim])
    np.testing.assert_allclose(np.asarray(gated_fusion(array(hidden), array(logits))), expected)


def test_two_gates_are_the_gated_multimodal_unit() -> None:
    hidden, logits = normal(0, 4, 2, 5), normal(1, 4, 2, 5)
    z = expit(logits[:, 0] - logits[:, 1])
    np.testing.assert_allclose(gated_fusion(hidden, logits), z * hidden[:, 0] + (1 - z) * hidden[:, 1])


@given(seeds)
def test_gates_heed_no_order_of_sources(seed: int) -> None:
    hidden, logits = normal(seed, 4, 3, 5), normal(seed + 1, 4, 3, 5)
    np.testing.assert_allclose(gated_fusion(hidden[:, ::-1], logits[:, ::-1]), gated_fusion(hidden, logits))


def test_attention_agrees_with_a_loop(array: Callable[[Any], Any]) -> None:
    queries, keys, values = normal(0, 2, 4), normal(1, 3, 4), normal(2, 3, 5)
    expected = []
    for query in queries:
        weights = share(np.array([sum(query * key) / 4**0.5 for key in keys]))
        expected.append(sum(w * value for w, value in zip(weights, values, strict=True)))
    attended = attention_fusion(array(queries), array(keys), array(values))
    np.testing.assert_allclose(np.asarray(attended), expected)


def test_attention_agrees_with_torch() -> None:
    queries, keys, values = torch.randn(2, 4, 3, 1, 8), torch.randn(2, 4, 3, 6, 8), torch.randn(2, 4, 3, 6, 8)
    oracle = torch.nn.functional.scaled_dot_product_attention(queries, keys, values)
    torch.testing.assert_close(attention_fusion(queries, keys, values), oracle)


def test_one_learned_query_serves_the_whole_batch() -> None:
    query, keys, values = normal(0, 1, 4), normal(1, 6, 3, 4), normal(2, 6, 3, 5)
    attended = attention_fusion(query, keys, values)
    assert attended.shape == (6, 1, 5)
    np.testing.assert_allclose(attended[4], attention_fusion(query, keys[4], values[4]))


@given(seeds)
def test_attention_heeds_no_order_of_views(seed: int) -> None:
    query, keys, values = normal(seed, 1, 4), normal(seed + 1, 3, 4), normal(seed + 2, 3, 5)
    np.testing.assert_allclose(
        attention_fusion(query, keys[::-1], values[::-1]), attention_fusion(query, keys, values), rtol=1e-9
    )


@given(seeds)
def test_attention_weights_are_what_each_view_adds_to_the_output(seed: int) -> None:
    queries, keys = normal(seed, 2, 3), normal(seed + 1, 4, 3)
    weights = attention_weights(queries, keys)
    np.testing.assert_allclose(weights.sum(-1), 1.0)
    np.testing.assert_allclose(weights, attention_fusion(queries, keys, np.eye(4)))


def test_late_fusion_agrees_with_a_loop(array: Callable[[Any], Any]) -> None:
    logits, weight_logits = normal(0, 2, 4, 3, 5), normal(1, 2, 1, 3)
    expected = np.zeros((2, 4, 5))
    for seed in range(2):
        weights = share(weight_logits[seed, 0])
        for row in range(4):
            for source in range(3):
                expected[seed, row] += weights[source] * logits[seed, row, source]
    fused = late_fusion(array(logits), array(weight_logits))
    np.testing.assert_allclose(np.asarray(fused), expected)


def test_late_fusion_agrees_with_numpys_weighted_average() -> None:
    logits, weight_logits = normal(0, 4, 3, 5), normal(1, 3)
    oracle = np.average(logits, axis=-2, weights=share(weight_logits))
    np.testing.assert_allclose(late_fusion(logits, weight_logits), oracle)


@given(seeds)
def test_equal_weights_predict_by_the_geometric_mean_of_the_probabilities(seed: int) -> None:
    logits = normal(seed, 4, 3, 5)
    fused = np.exp(late_fusion(logits, np.zeros(3)))
    raised = np.exp(logits)
    means = np.prod(raised / raised.sum(-1, keepdims=True), axis=1) ** (1 / 3)
    np.testing.assert_allclose(fused / fused.sum(-1, keepdims=True), means / means.sum(-1, keepdims=True))

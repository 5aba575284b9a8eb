"""Attention by products gives what transformers' own path gives, forwards and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from fusionapp.adapters.huggingface import product_attention as module
from fusionapp.adapters.huggingface.product_attention import product_attention

ATTENTIONS: tuple[Callable[..., Any], ...] = (product_attention, sdpa_attention_forward)
TEXTS, HEADS, LENGTH, DIM = 3, 4, 7, 8


class _Layer(nn.Module):
    def __init__(self, causal: bool = False, key_heads: int = HEADS) -> None:
        super().__init__()
        self.is_causal = causal
        self.num_key_value_groups = HEADS // key_heads


def _inputs(key_heads: int = HEADS, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)

    def drawn(heads: int) -> Tensor:
        return torch.randn(TEXTS, heads, LENGTH, DIM, generator=generator).to(dtype).requires_grad_()

    return drawn(HEADS), drawn(key_heads), drawn(key_heads)


def _padding() -> Tensor:
    lengths = torch.tensor([LENGTH, 4, 1])
    return (torch.arange(LENGTH) < lengths[:, None])[:, None, None, :]


def _triangle() -> Tensor:
    return torch.tril(torch.ones(LENGTH, LENGTH, dtype=torch.bool))[None, None] & _padding()


MASKS: dict[str, Tensor | None] = {
    "nothing hidden": None,
    "padding hidden": _padding(),
    "padding and what follows hidden": _triangle(),
    "scores lowered": torch.randn(1, 1, LENGTH, LENGTH, generator=torch.Generator().manual_seed(1)),
}


def _both(
    layer: _Layer, tensors: tuple[Tensor, Tensor, Tensor], mask: Tensor | None, **extra: Any
) -> list[list[Tensor]]:
    results = []
    for attention in ATTENTIONS:
        query, key, value = leaves = [tensor.detach().requires_grad_() for tensor in tensors]
        found, weights = attention(layer, query, key, value, mask, **extra)
        assert weights is None
        gradients = torch.autograd.grad(found.float().square().sum(), leaves)
        results.append([found, *gradients])
    return results


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("key_heads", [HEADS, 2], ids=["own keys", "shared keys"])
def test_output_and_gradients_are_those_of_the_fused_kernel(mask: Tensor | None, key_heads: int) -> None:
    layer = _Layer(key_heads=key_heads)
    for ours, theirs in zip(*_both(layer, _inputs(key_heads), mask, scaling=0.3), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_it_makes_no_difference_how_many_texts_are_computed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    together = _both(_Layer(), _inputs(), _triangle())[0]
    monkeypatch.setattr(module, "_SCORES", 1)
    for whole, parts in zip(together, _both(_Layer(), _inputs(), _triangle())[0], strict=True):
        torch.testing.assert_close(whole, parts)


def test_bfloat16_is_as_near_to_float32_as_the_fused_kernel_is() -> None:
    exact = _both(_Layer(), _inputs(), _padding())[1]
    ours, theirs = _both(_Layer(), _inputs(dtype=torch.bfloat16), _padding())
    for true, mine, kernel in zip(exact, ours, theirs, strict=True):
        assert (mine.float() - true).norm() < 2 * (kernel.float() - true).norm() + 1e-3 * true.norm()


def test_a_causal_layer_without_a_mask_stays_causal() -> None:
    query, key, value = _inputs()
    before, _ = product_attention(_Layer(causal=True), query, key, value, None)
    changed = value.detach().clone()
    changed[:, :, -1] += 1.0
    after, _ = product_attention(_Layer(causal=True), query, key, changed, None)
    assert torch.equal(before[:, :-1], after[:, :-1])
    assert not torch.equal(before[:, -1], after[:, -1])


def test_a_row_that_sees_nothing_is_no_nan() -> None:
    mask = torch.zeros(TEXTS, 1, 1, LENGTH, dtype=torch.bool)
    found, _ = product_attention(_Layer(), *_inputs(), mask)
    assert torch.isfinite(found).all()


def test_weights_are_dropped_in_training_alone() -> None:
    layer, tensors = _Layer(), _inputs()
    whole, _ = product_attention(layer.eval(), *tensors, None, dropout=0.5)
    dropped, _ = product_attention(layer.train(), *tensors, None, dropout=0.5)
    torch.testing.assert_close(whole, product_attention(layer, *tensors, None)[0])
    assert not torch.allclose(dropped, whole)

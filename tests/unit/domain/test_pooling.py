from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from numpy.typing import NDArray

from fusionapp.domain.errors import UsageError
from fusionapp.domain.pooling import PoolingKind, cls_pool, last_pool, mean_pool, pool

KINDS: tuple[PoolingKind, ...] = ("mean", "cls", "last")
MASK = np.array([[1, 1, 1, 0], [0, 0, 1, 1], [0, 1, 1, 0], [0, 0, 0, 0]])


def states() -> NDArray[np.float64]:
    """Random token states with NaN and infinity in the padding."""
    filled = np.random.default_rng(0).normal(size=(4, 4, 3))
    filled[MASK == 0] = np.nan
    filled[3, 1] = np.inf
    return filled


def looped(kind: str, tokens: NDArray[np.float64], mask: NDArray[np.int64]) -> NDArray[np.float64]:
    pooled = []
    for text, real in zip(tokens, mask, strict=True):
        kept = [token for token, use in zip(text, real, strict=True) if use]
        if not kept:
            pooled.append(np.zeros(tokens.shape[-1]))
        else:
            pooled.append({"mean": sum(kept) / len(kept), "cls": kept[0], "last": kept[-1]}[kind])
    return np.array(pooled)


@pytest.mark.parametrize("kind", KINDS)
def test_pooling_agrees_with_a_loop_over_real_tokens(kind: PoolingKind, array: Callable[[Any], Any]) -> None:
    pooled = pool(kind, array(states()), array(MASK))
    np.testing.assert_allclose(np.asarray(pooled), looped(kind, states(), MASK), rtol=1e-12)


def test_mean_pooling_agrees_with_torch_nanmean() -> None:
    tokens = states()[:3]
    oracle = torch.nanmean(torch.from_numpy(tokens), dim=1).numpy()
    np.testing.assert_allclose(mean_pool(tokens, MASK[:3]), oracle, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.bool_, np.int64, np.float32])
def test_any_mask_dtype_means_the_same(dtype: type[np.generic]) -> None:
    np.testing.assert_array_equal(mean_pool(states(), MASK.astype(dtype)), mean_pool(states(), MASK))


@pytest.mark.parametrize("kind", KINDS)
@given(left=st.integers(0, 3), right=st.integers(0, 3), length=st.integers(0, 4), seed=st.integers(0, 99))
def test_padding_on_either_side_changes_nothing(
    kind: PoolingKind, left: int, right: int, length: int, seed: int
) -> None:
    real = np.random.default_rng(seed).normal(size=(1, max(length, 1), 2))
    mask = np.full((1, max(length, 1)), int(length > 0))
    padded = np.pad(real, ((0, 0), (left, right), (0, 0)), constant_values=np.nan)
    wide = np.pad(mask, ((0, 0), (left, right)))
    np.testing.assert_allclose(pool(kind, padded, wide), pool(kind, real, mask), rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_a_leading_layer_dimension_shares_the_mask(kind: PoolingKind) -> None:
    layers = np.stack([states(), states() * 2])
    pooled = pool(kind, layers, MASK)
    np.testing.assert_allclose(pooled, np.stack([pool(kind, layer, MASK) for layer in layers]))


@pytest.mark.parametrize("kind", KINDS)
def test_no_gradient_reaches_the_padding(kind: PoolingKind) -> None:
    tokens = torch.from_numpy(states()).requires_grad_()
    (gradient,) = torch.autograd.grad(pool(kind, tokens, torch.from_numpy(MASK)).sum(), tokens)
    assert torch.all(gradient[torch.from_numpy(MASK) == 0] == 0)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_agree_with_finite_differences(kind: PoolingKind) -> None:
    tokens = torch.randn(4, 4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: pool(kind, t, torch.from_numpy(MASK)), tokens)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore:Dynamo:UserWarning")
def test_pooling_compiles_into_one_graph(kind: PoolingKind) -> None:
    tokens, mask = torch.randn(4, 4, 3), torch.from_numpy(MASK)
    compiled = torch.compile(lambda t, m: pool(kind, t, m), fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(tokens, mask), pool(kind, tokens, mask))


def test_bfloat16_states_give_bfloat16_embeddings() -> None:
    tokens = torch.ones(1, 300, 2, dtype=torch.bfloat16)
    pooled = mean_pool(tokens, torch.ones(1, 300))
    assert pooled.dtype == torch.bfloat16
    assert torch.all(pooled == 1)


def test_named_pools_are_the_functions() -> None:
    np.testing.assert_array_equal(pool("cls", states(), MASK), cls_pool(states(), MASK))
    np.testing.assert_array_equal(pool("last", states(), MASK), last_pool(states(), MASK))


def test_an_unknown_pooling_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="'max'"):
        pool("max", states(), MASK)  # type: ignore[arg-type]  # the refusal is under test

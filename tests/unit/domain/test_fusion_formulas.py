"""What every fusion formula keeps to: one value in numpy and torch, true gradients, leading dimensions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fusionapp.domain.cooccurrence import cooccurrence, cooccurrence_features
from fusionapp.domain.fusion import mixtures, products
from fusionapp.domain.fusion.low_rank import low_rank_bilinear

Formula = Callable[[Sequence[Any]], Any]

FORMULAS: dict[str, Formula] = {
    "concat": products.concat,
    "residual": lambda x: products.with_residual(x, products.hadamard(x)),
    "sum": products.sum_fusion,
    "hadamard": products.hadamard,
    "matmul": products.matmul_fusion,
    "quaternion": products.quaternion,
    "all_features": lambda x: products.all_features(x, x, x),
    "low_rank": low_rank_bilinear,
    "moe": lambda x: mixtures.mixture_of_experts(_views(x), x[0][..., :3]),
    "gated": lambda x: mixtures.gated_fusion(_views(x), _views(x[::-1])),
    "attention": lambda x: mixtures.attention_fusion(_views(x[:1]), _views(x), _views(x[::-1])),
    "cooccurrence": lambda x: cooccurrence(_views(x)),
    "cooccurrence_features": lambda x: cooccurrence_features(
        _views(x), x[0], triangle="upper", power="paper"
    ),
    "llmembed": lambda x: cooccurrence(_views(x), normalize=False),
}


def _views(sources: Sequence[Any]) -> Any:
    """Sources of one dim as (..., sources, dim)."""
    return products.concat([source[..., None] for source in sources]).swapaxes(-1, -2)


def sources() -> list[NDArray[np.float64]]:
    """Three sources of 16, stacked over two seeds: (seeds, batch, dim)."""
    return list(np.random.default_rng(0).normal(size=(3, 2, 4, 16)))


def tensors(**options: Any) -> list[torch.Tensor]:
    return [torch.tensor(source, **options) for source in sources()]


@pytest.mark.parametrize("name", FORMULAS)
def test_numpy_and_torch_agree(name: str) -> None:
    fused = FORMULAS[name](sources())
    assert isinstance(fused, np.ndarray)
    np.testing.assert_allclose(FORMULAS[name](tensors()).numpy(), fused, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", FORMULAS)
def test_stacked_seeds_are_independent(name: str) -> None:
    stacked = FORMULAS[name](sources())
    alone = [FORMULAS[name]([source[seed] for source in sources()]) for seed in range(2)]
    np.testing.assert_allclose(stacked, np.stack(alone), rtol=1e-12)


@pytest.mark.parametrize("name", FORMULAS)
def test_gradients_agree_with_finite_differences(name: str) -> None:
    rows = [source[0, :2] for source in tensors()]
    inputs = [row.clone().requires_grad_() for row in rows]
    assert torch.autograd.gradcheck(lambda *x: FORMULAS[name](x), inputs)


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_zero_sources_give_finite_values_and_gradients(name: str, dtype: torch.dtype) -> None:
    inputs = [torch.zeros(2, 16, dtype=dtype, requires_grad=True) for _ in range(3)]
    fused = FORMULAS[name](inputs)
    gradients = torch.autograd.grad(fused.float().sum(), inputs, allow_unused=True)
    assert fused.dtype == dtype
    assert torch.isfinite(fused).all()
    assert all(g is None or bool(torch.isfinite(g).all()) for g in gradients)


@pytest.mark.parametrize("name", ["all_features", "low_rank", "gated", "cooccurrence_features"])
@pytest.mark.filterwarnings("ignore:Dynamo:UserWarning")
def test_a_formula_compiles_into_one_graph(name: str) -> None:
    compiled = torch.compile(FORMULAS[name], fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(tensors()), FORMULAS[name](tensors()))


@pytest.mark.parametrize("name", FORMULAS)
def test_vmap_over_seeds_gives_the_stacked_result(name: str) -> None:
    mapped = torch.func.vmap(FORMULAS[name])(tensors())
    torch.testing.assert_close(mapped, FORMULAS[name](tensors()))

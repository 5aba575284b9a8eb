"""What the formulas cost at the sizes of a real run: five stacked seeds, batches of 256, a test split of 3,000."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from fusionapp.domain.cooccurrence import cooccurrence
from fusionapp.domain.fusion import products
from fusionapp.domain.fusion.low_rank import low_rank_bilinear
from fusionapp.domain.losses import cross_entropy
from fusionapp.domain.normalization import l2_normalize
from fusionapp.domain.pooling import mean_pool
from fusionapp.domain.statistics.bootstrap import bootstrap_classification

Benchmark = Callable[..., Any]

FUSIONS: dict[str, Callable[[list[torch.Tensor]], torch.Tensor]] = {
    "sum": products.sum_fusion,
    "hadamard": products.hadamard,
    "matmul": products.matmul_fusion,
    "quaternion": products.quaternion,
    "low_rank": low_rank_bilinear,
    "cooccurrence": lambda x: cooccurrence(torch.stack(x, dim=-2)),
}


@pytest.mark.parametrize("name", FUSIONS)
def test_fusion_forward_and_backward(benchmark: Benchmark, name: str) -> None:
    sources = [torch.randn(5, 256, 1024, requires_grad=True) for _ in range(3)]
    benchmark(lambda: torch.autograd.grad(FUSIONS[name](sources).sum(), sources))


@pytest.mark.parametrize("normalize", [l2_normalize, torch.nn.functional.normalize])
def test_l2_normalization_beside_torch(benchmark: Benchmark, normalize: Callable[..., Any]) -> None:
    x = torch.randn(5, 256, 1024, requires_grad=True)
    benchmark(lambda: torch.autograd.grad(normalize(x).sum(), x))


def test_cross_entropy_of_stacked_seeds(benchmark: Benchmark) -> None:
    logits, labels = torch.randn(5, 256, 52, requires_grad=True), torch.randint(52, (5, 256))
    benchmark(lambda: torch.autograd.grad(cross_entropy(logits, labels, None, 0.1).sum(), logits))


def test_mean_pooling(benchmark: Benchmark) -> None:
    states, mask = torch.randn(64, 128, 384), torch.ones(64, 128)
    benchmark(mean_pool, states, mask)


def test_bootstrap_of_four_metrics(benchmark: Benchmark) -> None:
    rng = np.random.default_rng(0)
    labels, probabilities = rng.integers(0, 52, 3000), rng.dirichlet(np.ones(52), size=(5, 3000))
    benchmark.pedantic(  # type: ignore[attr-defined]  # pytest-benchmark ships no types
        bootstrap_classification, (labels, probabilities.argmax(-1), probabilities), rounds=3
    )

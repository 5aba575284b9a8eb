from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from numpy.typing import NDArray

from fusionapp.domain.errors import UsageError
from fusionapp.domain.fusion.low_rank import low_rank_bilinear


def factors(seed: int = 0, count: int = 2) -> list[NDArray[np.float64]]:
    return list(np.random.default_rng(seed).normal(size=(count, 3, 8)))


def test_pooling_agrees_with_a_loop(array: Callable[[Any], Any]) -> None:
    expected = []
    for left, right in zip(*factors(), strict=True):
        cells = [a * b for a, b in zip(left, right, strict=True)]
        length = sum(cell * cell for cell in cells) ** 0.5
        rooted = [cell / length / (abs(cell / length) + 1e-6) ** 0.5 for cell in cells]
        expected.append([cell / sum(r * r for r in rooted) ** 0.5 for cell in rooted])
    fused = low_rank_bilinear([array(factor) for factor in factors()])
    np.testing.assert_allclose(np.asarray(fused), expected, rtol=1e-10)


def test_pooling_agrees_with_the_signed_root_of_mfb() -> None:
    left, right = (torch.from_numpy(factor) for factor in factors())
    product = left * right
    oracle = torch.nn.functional.normalize(product.sign() * product.abs().sqrt(), dim=-1)
    torch.testing.assert_close(low_rank_bilinear([left, right]), oracle, rtol=1e-4, atol=1e-4)


def test_pooling_agrees_with_the_full_bilinear_form() -> None:
    """Rank r is a bilinear map with r rank-one matrices u_i v_i^T (Kim et al. 2017, eq. 3)."""
    rng = np.random.default_rng(1)
    x, y, U, V = rng.normal(size=5), rng.normal(size=6), rng.normal(size=(5, 8)), rng.normal(size=(6, 8))
    bilinear = np.array([x @ np.outer(U[:, i], V[:, i]) @ y for i in range(8)])
    rooted = np.sign(bilinear) * np.sqrt(np.abs(bilinear))
    fused = low_rank_bilinear([x @ U, y @ V])
    np.testing.assert_allclose(fused, rooted / np.linalg.norm(rooted), rtol=1e-4, atol=1e-4)


@given(seed=st.integers(0, 1000), count=st.integers(1, 5))
def test_the_pool_is_a_unit_vector_and_ignores_order(seed: int, count: int) -> None:
    fused = low_rank_bilinear(factors(seed, count))
    np.testing.assert_allclose(np.linalg.norm(fused, axis=-1), 1.0)
    np.testing.assert_allclose(fused, low_rank_bilinear(factors(seed, count)[::-1]), rtol=1e-6, atol=1e-9)


def test_a_zero_factor_gives_zeros_with_gradient_zero() -> None:
    left, right = torch.zeros(3, 8, requires_grad=True), torch.randn(3, 8)
    fused = low_rank_bilinear([left, right])
    (gradient,) = torch.autograd.grad(fused.sum(), left)
    assert torch.equal(fused, torch.zeros(3, 8))
    assert torch.equal(gradient, torch.zeros(3, 8))


def test_ranks_that_differ_are_refused() -> None:
    with pytest.raises(UsageError, match=r"\[4, 5\]"):
        low_rank_bilinear([np.ones((1, 4)), np.ones((1, 5))])

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from numpy.typing import NDArray

from fusionapp.domain.cooccurrence import cooccurrence, cooccurrence_features, saturation
from fusionapp.domain.errors import UsageError


def views(seed: int = 0, *shape: int) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=shape or (2, 4, 6))


def test_cells_agree_with_a_loop(array: Callable[[Any], Any]) -> None:
    expected = []
    for text in views():
        units = [view / sum(v * v for v in view) ** 0.5 for view in text]
        expected.append([np.tanh(sum(a * b) / 2) for a in units for b in units])
    np.testing.assert_allclose(np.asarray(cooccurrence(array(views()))), expected, rtol=1e-10)


def test_cells_agree_with_torch_cosine_similarity() -> None:
    x = torch.from_numpy(views())
    oracle = torch.cosine_similarity(x[:, :, None], x[:, None], dim=-1).reshape(2, 16)
    torch.testing.assert_close(cooccurrence(x, power="none"), oracle)


@given(st.integers(0, 1000), st.integers(1, 6))
def test_the_upper_triangle_holds_every_distinct_cell(seed: int, v: int) -> None:
    x = views(seed, 2, v, 5)
    full, upper = cooccurrence(x), cooccurrence(x, triangle="upper")
    rows, columns = np.triu_indices(v)
    assert upper.shape == (2, v * (v + 1) // 2)
    np.testing.assert_allclose(full.reshape(2, v, v)[:, rows, columns], upper)
    np.testing.assert_allclose(full.reshape(2, v, v)[:, columns, rows], upper, rtol=1e-9, atol=1e-12)


def test_seven_views_of_1024_and_a_mean_of_4096_give_llmembed_s_4145() -> None:
    x, mean = views(0, 2, 7, 1024), views(1, 2, 4096)
    assert cooccurrence(x).shape == (2, 49)
    features = cooccurrence_features(x, mean)
    assert features.shape == (2, 4145)
    np.testing.assert_array_equal(features[:, 49:], mean)
    assert cooccurrence_features(x, mean, triangle="upper").shape == (2, 28 + 4096)


def test_without_normalization_it_is_llmembed_s_code() -> None:
    x = torch.from_numpy(views())
    oracle = 2 * torch.sigmoid(torch.bmm(x, x.transpose(1, 2))) - 1
    torch.testing.assert_close(cooccurrence(x, normalize=False), oracle.reshape(2, 16))


def test_without_normalization_cells_saturate_and_with_it_they_do_not() -> None:
    x = views(0, 2, 7, 1024)
    raw = cooccurrence(x, normalize=False).reshape(2, 7, 7)
    assert saturation(raw.diagonal(axis1=1, axis2=2)) == 1.0
    assert saturation(raw) > 0.8
    assert saturation(cooccurrence(x)) == 0.0


def test_saturation_counts_both_signs(array: Callable[[Any], Any]) -> None:
    assert saturation(array([[0.995, -0.995], [0.99, 0.0]])) == 0.5


def test_the_paper_s_power_is_offered_by_name() -> None:
    cells = cooccurrence(views(), power="none")
    np.testing.assert_allclose(cooccurrence(views(), power="paper", sigma=0.5), np.tanh(2 * 0.5 * cells))


def test_an_unknown_triangle_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="'lower'"):
        cooccurrence(views(), triangle="lower")  # type: ignore[arg-type]  # the refusal is under test


def test_an_unknown_power_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="'cube'"):
        cooccurrence(views(), power="cube")  # type: ignore[arg-type]  # the refusal is under test

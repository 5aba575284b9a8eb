from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from scipy import special

from fusionapp.domain.errors import UsageError
from fusionapp.domain.normalization import l2_normalize, log_softmax, power_normalize, softmax

vectors = arrays(np.float64, array_shapes(min_dims=1, max_dims=3), elements=st.floats(-1e3, 1e3))
X = np.random.default_rng(0).normal(size=(2, 3, 5))


def test_unit_vectors_agree_with_a_loop(array: Callable[[Any], Any]) -> None:
    expected = np.array([[row / sum(v * v for v in row) ** 0.5 for row in block] for block in X])
    np.testing.assert_allclose(np.asarray(l2_normalize(array(X))), expected, rtol=1e-12)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_unit_vectors_agree_with_torch_normalize(axis: int) -> None:
    oracle = torch.nn.functional.normalize(torch.from_numpy(X), dim=axis).numpy()
    np.testing.assert_allclose(l2_normalize(X, axis=axis), oracle, rtol=1e-12)


@given(vectors)
def test_lengths_are_one_or_zero(x: NDArray[np.float64]) -> None:
    lengths = np.linalg.norm(l2_normalize(x), axis=-1)
    zero = np.sum(x * x, axis=-1) < np.finfo(np.float64).smallest_normal
    np.testing.assert_allclose(lengths, np.where(zero, 0.0, 1.0), rtol=1e-12)


@given(vectors, st.floats(1e-3, 1e3))
def test_scale_does_not_change_a_direction(x: NDArray[np.float64], scale: float) -> None:
    x = np.where(np.abs(x) < 1e-100, 0.0, x)
    np.testing.assert_allclose(l2_normalize(x * scale), l2_normalize(x), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_a_zero_vector_stays_zero_with_gradient_zero(dtype: torch.dtype) -> None:
    x = torch.zeros(2, 4, dtype=dtype, requires_grad=True)
    unit = l2_normalize(x)
    (gradient,) = torch.autograd.grad(unit.sum(), x)
    assert unit.dtype == dtype
    assert torch.equal(unit, torch.zeros_like(unit))
    assert torch.equal(gradient, torch.zeros_like(gradient))


@pytest.mark.parametrize("magnitude", [1e-15, 1e-9, 1e15])
def test_float32_neither_underflows_nor_overflows(magnitude: float, array: Callable[[Any], Any]) -> None:
    unit = l2_normalize(array(np.full((1, 4), magnitude, dtype=np.float32)))
    np.testing.assert_allclose(np.asarray(unit), 0.5, rtol=1e-6)


@pytest.mark.parametrize("magnitude", [6e-8, 1e-3, 6e4])
def test_float16_spans_its_whole_range(magnitude: float, array: Callable[[Any], Any]) -> None:
    unit = l2_normalize(array(np.full((1, 4), magnitude, dtype=np.float16)))
    np.testing.assert_array_equal(np.asarray(unit), np.full((1, 4), 0.5, np.float16))


def test_nan_is_not_hidden() -> None:
    assert np.isnan(l2_normalize(np.array([np.nan, 1.0]))).all()


def test_power_conventions_agree_with_their_definitions(array: Callable[[Any], Any]) -> None:
    code = power_normalize(array(X), sigma=1.5, convention="code")
    paper = power_normalize(array(X), sigma=1.5, convention="paper")
    looped = np.array([2 / (1 + np.exp(-1.5 * value)) - 1 for value in X.ravel()]).reshape(X.shape)
    np.testing.assert_allclose(np.asarray(code), looped, rtol=1e-10)
    np.testing.assert_allclose(np.asarray(code), 2 * special.expit(1.5 * X) - 1, rtol=1e-10)
    np.testing.assert_allclose(np.asarray(paper), np.tanh(2 * 1.5 * X), rtol=1e-12)


@given(vectors, st.floats(0.1, 10))
def test_paper_is_code_with_four_times_the_slope(x: NDArray[np.float64], sigma: float) -> None:
    np.testing.assert_allclose(power_normalize(x, sigma, "paper"), power_normalize(x, 4 * sigma, "code"))


def test_an_unknown_convention_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="'cube'"):
        power_normalize(X, convention="cube")  # type: ignore[arg-type]  # the refusal is under test


def test_softmax_agrees_with_a_loop_and_with_scipy(array: Callable[[Any], Any]) -> None:
    looped = np.array([[[np.exp(v) / sum(np.exp(row)) for v in row] for row in block] for block in X])
    np.testing.assert_allclose(np.asarray(softmax(array(X))), looped, rtol=1e-12)
    np.testing.assert_allclose(np.asarray(softmax(array(X), axis=0)), special.softmax(X, axis=0), rtol=1e-12)
    np.testing.assert_allclose(np.asarray(log_softmax(array(X))), special.log_softmax(X, axis=-1), rtol=1e-12)


@given(vectors, st.floats(-1e3, 1e3))
def test_a_shift_does_not_change_a_softmax(x: NDArray[np.float64], shift: float) -> None:
    np.testing.assert_allclose(softmax(x + shift), softmax(x), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(softmax(x).sum(-1), 1.0)


@pytest.mark.parametrize("formula", [l2_normalize, power_normalize, softmax, log_softmax])
def test_gradients_agree_with_finite_differences(formula: Callable[[torch.Tensor], torch.Tensor]) -> None:
    assert torch.autograd.gradcheck(formula, torch.from_numpy(X).requires_grad_())

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.preprocessing import StandardScaler

from fusionapp.domain.dense_scaling import DenseScaling

TRAIN = (np.random.default_rng(0).normal(size=(50, 2, 3)) * [1.0, 5.0, 0.1] + [0.0, 100.0, -3.0]).astype(
    np.float32
)


def test_standard_scaling_agrees_with_explicit_loops() -> None:
    scaled = DenseScaling.fit(TRAIN, "standard").transform(TRAIN[:4])
    for layer in range(2):
        for dim in range(3):
            values = [float(value) for value in TRAIN[:, layer, dim]]
            mean = sum(values) / len(values)
            deviation = (sum((value - mean) ** 2 for value in values) / len(values)) ** 0.5
            expected = [(value - mean) / deviation for value in values[:4]]
            np.testing.assert_allclose(scaled[:, layer, dim], expected, atol=1e-4)


def test_standard_scaling_agrees_with_scikit_learn() -> None:
    scaled = DenseScaling.fit(TRAIN, "standard").transform(TRAIN)
    oracle = StandardScaler().fit_transform(TRAIN.reshape(50, 6).astype(np.float64))
    np.testing.assert_allclose(scaled.reshape(50, 6), oracle, atol=1e-4)


@given(arrays(np.float32, (5, 2, 3), elements=st.floats(-1e3, 1e3, width=32)))
def test_standard_rows_have_mean_zero_and_variance_at_most_one(
    rows: np.ndarray[tuple[int, int, int], np.dtype[np.float32]],
) -> None:
    scaled = DenseScaling.fit(rows, "standard").transform(rows)
    assert np.isfinite(scaled).all()
    np.testing.assert_allclose(scaled.mean(0), 0, atol=0.05)
    assert scaled.var(0).max() < 1.05


@pytest.mark.parametrize("constant", [0.0, 0.1, -1e4])
def test_a_dimension_that_never_changes_is_centred_and_not_blown_up(constant: float) -> None:
    rows = np.full((7, 1, 2), constant, dtype=np.float32)
    scaling = DenseScaling.fit(rows, "standard")
    np.testing.assert_array_equal(scaling.transform(rows), 0)
    np.testing.assert_allclose(scaling.transform(rows + 1), 1, rtol=1e-3)


def test_sums_over_many_chunks_are_those_of_one() -> None:
    rows = np.tile(TRAIN, (200, 1, 1))
    one, many = (DenseScaling.fit(each, "standard") for each in (TRAIN, rows))
    assert one.mean is not None
    assert many.mean is not None
    np.testing.assert_allclose(many.mean, one.mean, rtol=1e-6)
    np.testing.assert_allclose(np.asarray(many.deviation), np.asarray(one.deviation), rtol=1e-5)


def test_l2_scales_each_layer_to_the_square_root_of_its_dim() -> None:
    scaled = DenseScaling.fit(TRAIN).transform(TRAIN)
    np.testing.assert_allclose(np.linalg.norm(scaled, axis=-1), 3**0.5, rtol=1e-5)


def test_none_leaves_vectors_as_they_are() -> None:
    np.testing.assert_array_equal(DenseScaling.fit(TRAIN, "none").transform(TRAIN), TRAIN)

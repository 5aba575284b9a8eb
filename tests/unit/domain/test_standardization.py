from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given, strategies as st
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler

from fusionapp.domain.standardization import Standardization


def rows(seed: int = 0, count: int = 50) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(count, 2, 3)) * [1, 10, 0.1] + [[0, 5, -3], [1, 2, 100]]).astype(np.float32)


def test_standardised_rows_agree_with_a_loop() -> None:
    x = rows()
    expected = np.empty(x.shape)
    for layer in range(2):
        for dim in range(3):
            numbers = [float(value) for value in x[:, layer, dim]]
            mean = sum(numbers) / len(numbers)
            deviation = (sum((n - mean) ** 2 for n in numbers) / len(numbers)) ** 0.5
            expected[:, layer, dim] = [(n - mean) / deviation for n in numbers]
    np.testing.assert_allclose(Standardization.fit(x).transform(x), expected, rtol=1e-3, atol=1e-4)


def test_other_rows_agree_with_scikit_learn() -> None:
    train, other = rows(), rows(1)
    oracle = StandardScaler().fit(train.reshape(50, 6).astype(np.float64))
    ours = Standardization.fit(train).transform(other)
    np.testing.assert_allclose(
        ours.reshape(50, 6), oracle.transform(other.reshape(50, 6)), rtol=1e-3, atol=1e-3
    )


@given(st.integers(0, 50), st.floats(0.1, 10), st.floats(-5, 5))
def test_shift_and_scale_of_a_dimension_change_nothing(seed: int, scale: float, shift: float) -> None:
    x = rows(seed)
    moved = (x * scale + shift).astype(np.float32)
    ours, theirs = (Standardization.fit(y).transform(y) for y in (x, moved))
    np.testing.assert_allclose(ours, theirs, atol=5e-3)


def test_a_constant_dimension_becomes_zero() -> None:
    x = rows()
    x[:, 0, 1] = 0.1
    x[:, 1, 2] = 0.0
    standard = Standardization.fit(x).transform(x)
    assert np.isfinite(standard).all()
    np.testing.assert_allclose(standard[:, 0, 1], 0, atol=1e-6)
    assert not standard[:, 1, 2].any()


def test_one_row_becomes_zeros() -> None:
    assert not Standardization.fit(rows(count=1)).transform(rows(count=1)).any()


def test_chunks_of_a_memory_mapped_file_give_what_memory_gives(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(9000, 1, 2)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    mapped = Standardization.fit(np.load(tmp_path / "x.npy", mmap_mode="r"))
    np.testing.assert_allclose(mapped.mean, x.mean(0, dtype=np.float64), atol=1e-7)
    np.testing.assert_allclose(mapped.deviation, x.std(0, dtype=np.float64), rtol=1e-6)

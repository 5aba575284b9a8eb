from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from fusionapp.domain.errors import UsageError
from fusionapp.domain.fusion.products import (
    ProductKind,
    all_features,
    concat,
    fold_lengths,
    hadamard,
    matmul_fusion,
    quaternion,
    sum_fusion,
    with_residual,
)

Vectors = list[NDArray[np.float64]]
seeds = st.integers(0, 1000)


def sources(seed: int = 0, count: int = 3, dim: int = 16) -> Vectors:
    return list(np.random.default_rng(seed).normal(size=(count, 2, dim)))


def unit(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(x / np.linalg.norm(x, axis=-1, keepdims=True))


def hamilton(p: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.float64]:
    """One row's Hamilton product, a quaternion at a time."""
    m = len(p) // 4
    out = np.zeros_like(p)
    for i in range(m):
        a1, b1, c1, d1 = p[i::m]
        a2, b2, c2, d2 = q[i::m]
        out[i::m] = [
            a1 * a2 - b1 * b2 - c1 * c2 - d1 * d2,
            a1 * b2 + b1 * a2 + c1 * d2 - d1 * c2,
            a1 * c2 - b1 * d2 + c1 * a2 + d1 * b2,
            a1 * d2 + b1 * c2 - c1 * b2 + d1 * a2,
        ]
    return out


def matrix_product(p: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.float64]:
    k = round(len(p) ** 0.5)
    out = np.zeros_like(p)
    for i in range(k):
        for j in range(k):
            out[i * k + j] = sum(p[i * k + n] * q[n * k + j] for n in range(k))
    return out


def looped(product: Callable[..., NDArray[np.float64]], projected: Vectors) -> NDArray[np.float64]:
    rows = zip(*projected, strict=True)
    return np.stack([reduce(lambda p, q: unit(product(p, q)), map(unit, row)) for row in rows])


@pytest.mark.parametrize(
    ("fusion", "product"), [(quaternion, hamilton), (matmul_fusion, matrix_product), (hadamard, np.multiply)]
)
def test_a_product_agrees_with_a_loop(fusion: Any, product: Any, array: Callable[[Any], Any]) -> None:
    fused = fusion([array(source) for source in sources()])
    np.testing.assert_allclose(np.asarray(fused), looped(product, sources()), rtol=1e-10)


def test_quaternions_compose_as_scipy_rotations() -> None:
    p, q = sources(count=2, dim=4)
    # scipy writes (x, y, z, w), and its sign is free.
    oracle = (Rotation.from_quat(np.roll(p, -1, -1)) * Rotation.from_quat(np.roll(q, -1, -1))).as_quat()
    fused = quaternion([p, q])
    np.testing.assert_allclose(np.abs(np.sum(fused * np.roll(oracle, 1, -1), -1)), 1.0, rtol=1e-12)


def test_matrices_multiply_as_torch_bmm() -> None:
    p, q = (torch.from_numpy(source) for source in sources(count=2))
    oracle = torch.bmm(p.reshape(2, 4, 4), q.reshape(2, 4, 4)).reshape(2, 16)
    torch.testing.assert_close(matmul_fusion([p, q]), torch.nn.functional.normalize(oracle, dim=-1))


def test_the_sum_agrees_with_a_loop_and_with_torch(array: Callable[[Any], Any]) -> None:
    fused = np.asarray(sum_fusion([array(source) for source in sources()]))
    normalized = [torch.nn.functional.normalize(torch.from_numpy(source), dim=-1) for source in sources()]
    looped_sum = np.zeros((2, 16))
    for source in sources():
        for row in range(2):
            looped_sum[row] += source[row] / sum(v * v for v in source[row]) ** 0.5
    np.testing.assert_allclose(fused, looped_sum, rtol=1e-10)
    np.testing.assert_allclose(fused, torch.stack(normalized).sum(0).numpy(), rtol=1e-10)


@pytest.mark.parametrize("fusion", [quaternion, matmul_fusion, hadamard])
@given(seed=seeds, count=st.integers(1, 9), scale=st.floats(1e-6, 1e6))
def test_products_are_unit_vectors_whatever_the_scale(
    fusion: Any, seed: int, count: int, scale: float
) -> None:
    projected = sources(seed, count)
    fused = fusion([projected[0] * scale, *projected[1:]])
    np.testing.assert_allclose(np.linalg.norm(fused, axis=-1), 1.0, rtol=1e-9)
    np.testing.assert_allclose(fused, fusion(projected), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("fusion", [hadamard, sum_fusion])
@given(seed=seeds)
def test_sum_and_hadamard_ignore_the_order_of_sources(fusion: Any, seed: int) -> None:
    projected = sources(seed)
    np.testing.assert_allclose(fusion(projected[::-1]), fusion(projected), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("fusion", [quaternion, matmul_fusion])
@given(seed=seeds)
def test_quaternions_and_matrices_associate(fusion: Any, seed: int) -> None:
    a, b, c = sources(seed)
    np.testing.assert_allclose(fusion([a, fusion([b, c])]), fusion([a, b, c]), rtol=1e-9, atol=1e-12)


def test_quaternions_heed_the_order_of_sources() -> None:
    assert not np.allclose(quaternion(sources()[::-1]), quaternion(sources()))


def test_twelve_float32_sources_do_not_vanish() -> None:
    projected = [source.astype(np.float32) for source in sources(count=12, dim=1024)]
    np.testing.assert_allclose(np.linalg.norm(hadamard(projected), axis=-1), 1.0, rtol=1e-5)


def test_concat_agrees_with_a_loop_and_with_numpy(array: Callable[[Any], Any]) -> None:
    ragged = [source[:, : 3 + i] for i, source in enumerate(sources())]
    joined = np.asarray(concat([array(source) for source in ragged]))
    assert joined.tolist() == [[v for source in ragged for v in source[row]] for row in range(2)]
    np.testing.assert_array_equal(joined, np.concatenate(ragged, axis=-1))


@given(seed=seeds, count=st.integers(1, 5))
def test_concat_keeps_every_source_in_its_place(seed: int, count: int) -> None:
    parts = np.split(concat(sources(seed, count)), count, axis=-1)
    assert all(np.array_equal(part, source) for part, source in zip(parts, sources(seed, count), strict=True))


def test_the_residual_keeps_shared_sources_beside_stacked_heads() -> None:
    fused = np.ones((5, 2, 7))
    kept = with_residual(sources(), fused)
    assert kept.shape == (5, 2, 3 * 16 + 7)
    np.testing.assert_array_equal(kept[4, :, :16], sources()[0])
    np.testing.assert_array_equal(kept[..., 48:], fused)


def test_all_features_are_the_normalized_parts_in_the_table_order() -> None:
    x, wide, narrow = sources(1, 2, 5), sources(2, 2, 64), sources(3, 2, 16)
    fused = all_features(x, narrow, wide)
    parts = [*x, sum_fusion(narrow), quaternion(wide), matmul_fusion(wide), hadamard(narrow)]
    np.testing.assert_allclose(fused, np.concatenate([unit(part) for part in parts], axis=-1), rtol=1e-12)


@pytest.mark.parametrize("fusion", [concat, sum_fusion, hadamard, matmul_fusion, quaternion])
def test_no_source_is_refused(fusion: Any) -> None:
    with pytest.raises(UsageError, match="no source"):
        fusion([])


@pytest.mark.parametrize("fusion", [sum_fusion, hadamard, matmul_fusion, quaternion])
def test_dims_that_differ_are_refused_and_named(fusion: Any) -> None:
    with pytest.raises(UsageError, match=r"\[4, 16\]"):
        fusion([np.ones((1, 4)), np.ones((1, 16))])


def test_a_dim_that_no_matrix_fits_is_refused() -> None:
    with pytest.raises(UsageError, match="8 is not a square"):
        matmul_fusion([np.ones((1, 8))])


def test_a_dim_that_no_quaternion_fits_is_refused() -> None:
    with pytest.raises(UsageError, match="6 is not divisible by 4"):
        quaternion([np.ones((1, 6))])


@pytest.mark.parametrize(
    ("kind", "product"),
    [
        ("hadamard", np.multiply),
        ("low_rank", np.multiply),
        ("matmul", matrix_product),
        ("quaternion", hamilton),
    ],
)
def test_the_length_of_each_product_agrees_with_a_loop(
    kind: ProductKind, product: Callable[..., NDArray[np.float64]]
) -> None:
    xs = sources(count=4)
    lengths = fold_lengths(kind, xs)
    assert len(lengths) == 3
    for row in range(2):
        fused = unit(xs[0][row])
        for source, length in zip(xs[1:], lengths, strict=True):
            joined = product(fused, unit(source[row]))
            np.testing.assert_allclose(length[row], np.linalg.norm(joined))
            fused = unit(joined)


@pytest.mark.parametrize("kind", ["hadamard", "low_rank", "matmul", "quaternion"])
@given(st.integers(0, 999), st.floats(0.01, 100))
def test_products_are_at_most_1_long_and_know_nothing_of_how_long_sources_are(
    kind: ProductKind, seed: int, factor: float
) -> None:
    xs = sources(seed)
    lengths = fold_lengths(kind, xs)
    assert all((length <= 1 + 1e-12).all() for length in lengths)
    scaled = fold_lengths(kind, [factor * xs[0], *xs[1:]])
    np.testing.assert_allclose(scaled, lengths, rtol=1e-9)


def test_unit_quaternions_multiply_to_unit_length() -> None:
    (length,) = fold_lengths("quaternion", sources(count=2, dim=4))
    np.testing.assert_allclose(length, 1.0)


def test_factors_that_share_no_cell_make_a_product_of_length_0() -> None:
    (length,) = fold_lengths("hadamard", [np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])])
    assert length == 0.0


def test_one_source_alone_makes_no_product() -> None:
    assert fold_lengths("low_rank", sources(count=1)) == []

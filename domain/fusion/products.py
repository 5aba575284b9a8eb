"""Fusions without parameters of their own: sums and products of projected sources.

Every formula takes any number of sources with any leading dimensions (..., dim), so that heads stacked over
seeds go through at once as (seeds, batch, dim). Products fold left in the order given and each is
L2-normalised again: products of unit vectors vanish (about 1e-9 after seven).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from math import isqrt
from typing import Any, Literal

from fusionapp.domain.arrays import A, broadcast_leading, namespace
from fusionapp.domain.errors import UsageError
from fusionapp.domain.normalization import l2_normalize

ProductKind = Literal["hadamard", "low_rank", "matmul", "quaternion"]


def concat(sources: Sequence[A]) -> A:
    """Sources side by side: (..., d1), (..., d2), ... -> (..., d1 + d2 + ...).

    Raises:
        UsageError: no source, or leading dimensions that do not broadcast.
    """
    _require(sources, "concat")
    joined: A = namespace(*sources).concat(broadcast_leading(sources), axis=-1)
    return joined


def with_residual(sources: Sequence[A], fused: A) -> A:
    """[x1; ...; xn; fused]: the sources kept beside what was made of them, (..., d1 + ... + dn + dim)."""
    return concat([*sources, fused])


def sum_fusion(projected: Sequence[A]) -> A:
    """Sum of the L2-normalised sources, each (..., dim) -> (..., dim).

    Raises:
        UsageError: no source, or dims that differ.
    """
    _common_dim(projected, "sum")
    total: A = reduce(lambda left, right: left + right, map(l2_normalize, projected))
    return total


def hadamard(projected: Sequence[A]) -> A:
    """Elementwise product of L2-normalised sources, each (..., dim) -> unit (..., dim).

    Raises:
        UsageError: no source, or dims that differ.
    """
    _common_dim(projected, "hadamard")
    return fold_products(projected, _elementwise)


def matmul_fusion(projected: Sequence[A]) -> A:
    """Product of sources read as k x k matrices, row by row, each (..., k * k) -> unit (..., k * k).

    Raises:
        UsageError: no source, dims that differ, or a dim that is not a square.
    """
    dim = _common_dim(projected, "matmul")
    k = isqrt(dim)
    if k * k != dim:
        raise UsageError(f"matmul fusion: dim {dim} is not a square; project to 256, 1024 or 4096")
    return fold_products(projected, _matrix)


def quaternion(projected: Sequence[A]) -> A:
    """Hamilton product of sources read as dim / 4 quaternions, each (..., 4m) -> unit (..., 4m).

    A source holds blocks [a | b | c | d] of m numbers: quaternion i is (a_i, b_i, c_i, d_i). The product does
    not commute, so the order of the sources matters.

    Raises:
        UsageError: no source, dims that differ, or a dim not divisible by 4.
    """
    dim = _common_dim(projected, "quaternion")
    if dim % 4:
        raise UsageError(f"quaternion fusion: dim {dim} is not divisible by 4; project to 256 or 1024")
    return fold_products(projected, _hamilton)


def all_features(sources: Sequence[A], projected: Sequence[A], projected_products: Sequence[A]) -> A:
    """[x1; ...; xn; sum; quaternion; matmul; hadamard], each part L2-normalised.

    Args:
        sources: (..., d_i) each, as they come.
        projected: (..., d) each; `sum` and `hadamard` share this projection.
        projected_products: (..., p) each, p a square divisible by 4; shared by `quaternion` and `matmul`.

    Returns:
        (..., d1 + ... + dn + 2d + 2p).

    Raises:
        UsageError: as its parts.
    """
    parts = [
        *sources,
        sum_fusion(projected),
        quaternion(projected_products),
        matmul_fusion(projected_products),
        hadamard(projected),
    ]
    return concat([l2_normalize(part) for part in parts])


def fold_products(sources: Sequence[A], product: Callable[[A, A], A]) -> A:
    """Fold unit sources left by `product`, each result L2-normalised; one source alone is normalised."""
    return reduce(lambda left, right: l2_normalize(product(left, right)), map(l2_normalize, sources))


def fold_lengths(kind: ProductKind, projected: Sequence[A]) -> list[A]:
    """How long each product of a fold is before it is L2-normalised, (...,) each, one fewer than the sources.

    Where this is near 0 the factors cancel, and normalising blows rounding up to length 1.

    Args:
        kind: whose product.
        projected: (..., dim) each, as the fusion of that kind takes them.

    Raises:
        UsageError: no source, or dims that differ.
    """
    _common_dim(projected, kind)
    product, lengths = _PAIRS[kind], []
    fused = l2_normalize(projected[0])
    for source in projected[1:]:
        joined = product(fused, l2_normalize(source))
        xp = namespace(joined)
        lengths.append(xp.sqrt(xp.sum(joined * joined, axis=-1)))
        fused = l2_normalize(joined)
    return lengths


def _elementwise(left: A, right: A) -> A:
    product: A = left * right
    return product


def _matrix(left: A, right: A) -> A:
    """Rows of k * k numbers as k x k matrices."""
    xp, k = namespace(left, right), isqrt(left.shape[-1])
    a, b = (xp.reshape(x, (*x.shape[:-1], k, k)) for x in (left, right))
    ab = a @ b
    flat: A = xp.reshape(ab, (*ab.shape[:-2], k * k))
    return flat


def _hamilton(left: A, right: A) -> A:
    xp = namespace(left, right)
    m = left.shape[-1] // 4
    a1, b1, c1, d1 = (left[..., i * m : (i + 1) * m] for i in range(4))
    a2, b2, c2, d2 = (right[..., i * m : (i + 1) * m] for i in range(4))
    blocks = [
        a1 * a2 - b1 * b2 - c1 * c2 - d1 * d2,
        a1 * b2 + b1 * a2 + c1 * d2 - d1 * c2,
        a1 * c2 - b1 * d2 + c1 * a2 + d1 * b2,
        a1 * d2 + b1 * c2 - c1 * b2 + d1 * a2,
    ]
    joined: A = xp.concat(blocks, axis=-1)
    return joined


_PAIRS: Mapping[ProductKind, Callable[[Any, Any], Any]] = {
    "hadamard": _elementwise,
    "low_rank": _elementwise,
    "matmul": _matrix,
    "quaternion": _hamilton,
}


def _require(sources: Sequence[A], kind: str) -> None:
    if not sources:
        raise UsageError(f"{kind} fusion: no source given; name at least one encoder")


def _common_dim(sources: Sequence[A], kind: str) -> int:
    _require(sources, kind)
    dims = [int(source.shape[-1]) for source in sources]
    if any(dim != dims[0] for dim in dims):
        raise UsageError(f"{kind} fusion: dims {dims} differ; project the sources to one dim first")
    return dims[0]

"""Low-rank bilinear pooling."""

from __future__ import annotations

from collections.abc import Sequence

from fusionapp.domain.arrays import A, namespace
from fusionapp.domain.fusion.products import hadamard
from fusionapp.domain.normalization import l2_normalize

_ROOT_SOFTENING = 1e-6


def low_rank_bilinear(factors: Sequence[A]) -> A:
    """Low-rank bilinear pooling: a product of rank-r projections, its signed root, L2-normalised.

    The product is MLB's (Kim et al. 2017); the signed square root and L2 after it are MFB's (Yu et al. 2017).
    Without the root this would be `hadamard`; the root damps the few large cells that dominate a product.
    sign(x) sqrt(|x|) has an infinite slope at 0, so x / sqrt(|x| + 1e-6) stands for it: the cells of the unit
    product are about 1 / sqrt(r), and the slope is at most 1e3.

    Args:
        factors: (..., r) each, a source's rank-r projection.

    Returns:
        (..., r), of length 1, or zeros where the product is zero.

    Raises:
        UsageError: no factor, or ranks that differ.
    """
    product = hadamard(factors)
    xp = namespace(product)
    rooted: A = product / xp.sqrt(xp.abs(product) + _ROOT_SOFTENING)
    return l2_normalize(rooted)

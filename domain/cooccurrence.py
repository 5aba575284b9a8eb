"""Co-occurrence pooling of views (LLMEmbed, Liu et al., ACL 2024): X X^T, power-normalised."""

from __future__ import annotations

from typing import Literal

from fusionapp.domain.arrays import A, namespace
from fusionapp.domain.errors import UsageError
from fusionapp.domain.fusion.products import concat
from fusionapp.domain.normalization import l2_normalize, power_normalize

Triangle = Literal["full", "upper"]
Power = Literal["code", "paper", "none"]


def cooccurrence(
    views: A,
    *,
    normalize: bool = True,
    triangle: Triangle = "full",
    power: Power = "code",
    sigma: float = 1.0,
) -> A:
    """Inner products of every pair of views, flattened row by row.

    Args:
        views: (..., v, dim).
        normalize: L2-normalise views first. False reproduces LLMEmbed, whose raw products saturate the tanh
            (see `saturation`).
        triangle: "full" keeps all v * v cells of the symmetric matrix; "upper" its v (v + 1) / 2 distinct
            ones, diagonal included.
        power: power normalisation, see `power_normalize`; "none" leaves the products.
        sigma: its slope.

    Returns:
        (..., v * v) or (..., v * (v + 1) / 2).

    Raises:
        UsageError: an unknown triangle or power.
    """
    if triangle not in ("full", "upper"):
        raise UsageError(f"co-occurrence triangle {triangle!r} is unknown; use 'full' or 'upper'")
    xp = namespace(views)
    x = l2_normalize(views) if normalize else views
    v = x.shape[-2]
    products = x @ xp.matrix_transpose(x)
    cells: A = xp.reshape(products, (*products.shape[:-2], v * v))
    if triangle == "upper":
        distinct = [row * v + column for row in range(v) for column in range(row, v)]
        cells = xp.take(cells, xp.asarray(distinct, device=views.device), axis=-1)
    return cells if power == "none" else power_normalize(cells, sigma, power)


def cooccurrence_features(
    views: A,
    mean: A,
    *,
    normalize: bool = True,
    triangle: Triangle = "full",
    power: Power = "code",
    sigma: float = 1.0,
) -> A:
    """LLMEmbed's form of input to a head: [cells; mean], (..., cells + mean_dim).

    Args:
        views: (..., v, dim), every view projected to one dim.
        mean: (..., mean_dim), means over the layers of the encoders that have several, as the caller has them.
        normalize, triangle, power, sigma: as in `cooccurrence`.
    """
    cells = cooccurrence(views, normalize=normalize, triangle=triangle, power=power, sigma=sigma)
    return concat([cells, mean])


def saturation(cells: A) -> float:
    """Share of power-normalised cells beyond 0.99 in magnitude, where tanh has lost its gradient; 0 to 1."""
    xp = namespace(cells)
    return float(xp.mean(xp.astype(xp.abs(cells) > 0.99, xp.float32)))

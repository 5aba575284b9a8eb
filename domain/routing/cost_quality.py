"""Cost against quality: the front, the hull, and the area under it (AIQ, Hu et al. 2024, RouterBench)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.errors import UsageError
from fusionapp.domain.statistics.bootstrap import Replicates, resample_weights

Floats = NDArray[np.floating]

HULL_DRAWS = 1_000
"""A hull is built anew in each draw, so fewer are drawn than of means."""


def pareto_front(cost: Floats, quality: Floats) -> NDArray[np.bool_]:
    """(points,) whether no other point is at least as cheap and as good, and better in one of the two.

    Equal points stand or fall together.

    Args:
        cost: (points,).
        quality: (points,).
    """
    cheaper = (cost[:, None] <= cost) & (quality[:, None] >= quality)
    strictly = (cost[:, None] < cost) | (quality[:, None] > quality)
    front: NDArray[np.bool_] = np.logical_not(np.any(cheaper & strictly, axis=0))
    return front


def hull(cost: Floats, quality: Floats) -> NDArray[np.float64]:
    """Corners (corners, 2) of the non-decreasing concave envelope, costs ascending.

    RouterBench calls it the non-decreasing convex hull. Every point of it can be had: between two corners, by
    tossing a coin between two settings of the router.

    Args:
        cost: (points,) mean USD.
        quality: (points,) mean quality.

    Raises:
        UsageError: no point, or one that is not a number.
    """
    if not len(cost) or np.isnan(cost).any() or np.isnan(quality).any():
        raise UsageError("a cost-quality hull needs points, each with a known cost and quality")
    order = np.lexsort((-np.asarray(quality), cost))
    corners: list[tuple[float, float]] = []
    for point in zip(np.asarray(cost)[order].tolist(), np.asarray(quality)[order].tolist(), strict=True):
        if corners and point[1] <= corners[-1][1]:
            continue
        while len(corners) > 1 and not _bends_down(corners[-2], corners[-1], point):
            corners.pop()
        corners.append(point)
    return np.array(corners, dtype=np.float64)


def hull_quality(corners: NDArray[np.float64], cost: Floats) -> NDArray[np.float64]:
    """(points,) the best quality for a cost on `hull`.

    Beyond the dearest corner quality stays; below the cheapest one the router is mixed with a null model, of cost
    0 and quality 0.
    """
    start = np.zeros((int(corners[0, 0] > 0), 2))
    along = np.concatenate([start, corners])
    best: NDArray[np.float64] = np.interp(cost, along[:, 0], along[:, 1])
    return best


def aiq(cost: Floats, quality: Floats, low: float, high: float) -> float:
    """Average improvement in quality: the mean height of the hull between two costs.

    Args:
        cost: (points,) mean USD of the router at its settings.
        quality: (points,) mean quality at them.
        low: USD where the range starts: the cheapest single model's cost.
        high: where it ends: the dearest's.

    Raises:
        UsageError: a range without width, or no points.
    """
    if not 0 <= low < high:
        raise UsageError(f"AIQ needs a range of costs, not {low} to {high}; are all models equally dear?")
    corners = hull(cost, quality)
    inside = corners[(corners[:, 0] > low) & (corners[:, 0] < high), 0]
    ends = np.concatenate([[low], inside, [high]])
    return float(np.trapezoid(hull_quality(corners, ends), ends) / (high - low))


def setting_means(
    cost: Floats, quality: Floats, weights: Floats | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean cost and mean known quality of each of a router's settings, both (draws, settings).

    Args:
        cost: (settings, prompts) USD of the model chosen at each setting.
        quality: (settings, prompts) its quality; NaN where unknown. Such prompts count in costs alone: as 0 they
            would make worse what nobody has judged.
        weights: (draws, prompts) how often each prompt counts; None for one draw in which each counts once.

    Returns:
        NaN where no quality of a setting is known.
    """
    known = np.isfinite(quality)
    counts = np.ones((1, cost.shape[1])) if weights is None else np.asarray(weights, dtype=np.float64)
    judged = counts @ known.T
    sums = counts @ np.where(known, quality, 0.0).T
    means = np.divide(sums, judged, out=np.full_like(sums, np.nan), where=judged > 0)
    return counts @ np.asarray(cost, dtype=np.float64).T / counts.sum(axis=1, keepdims=True), means


def aiq_of_prompts(
    cost: Floats, quality: Floats, low: float, high: float, weights: Floats | None = None
) -> NDArray[np.float64]:
    """(draws,) `aiq` of the settings of which some quality is known; NaN where none is.

    Arguments are those of `setting_means` and `aiq`, and so are the errors.
    """
    found = []
    for spent, means in zip(*setting_means(cost, quality, weights), strict=True):
        known = np.isfinite(means)
        found.append(aiq(spent[known], means[known], low, high) if known.any() else np.nan)
    return np.array(found)


def bootstrap_aiq(
    cost: Floats, quality: Floats, low: float, high: float, draws: int = HULL_DRAWS, seed: int = 0
) -> Replicates:
    """(draws,) AIQ over resampled prompts, the range of costs staying as it is.

    Args:
        cost: as in `setting_means`.
        quality: as there.
        low: as in `aiq`.
        high: as in `aiq`.
        draws: how many resamples.
        seed: of the draws; the same one and as many draws pair with every other bootstrap over these prompts.

    Raises:
        UsageError: as `aiq`.
    """
    parts = [
        aiq_of_prompts(cost, quality, low, high, weights)
        for weights in resample_weights(cost.shape[1], draws, seed)
    ]
    return np.concatenate(parts).round(12)


def _bends_down(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
    """Whether b lies above the line from a to c."""
    return (b[0] - a[0]) * (c[1] - a[1]) < (b[1] - a[1]) * (c[0] - a[0])

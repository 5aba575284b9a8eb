"""K-means: Lloyd's algorithm from k-means++ (Arthur and Vassilvitskii 2007)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from fusionapp.adapters.routers.landmarks import half_squares

Floats = NDArray[np.float32]
_SWEEPS = 100
CELLS_AT_ONCE = 16_000_000
"""Products of rows in memory at once: 64 MB."""
_SAME = 1e-6
"""Of the points' squared distances from their mean, all together: what rounding leaves of distances."""


def find_centres(points: Floats, count: int, seed: int) -> Floats:
    """(centres, dim): up to `count` of them, fewer where fewer points differ.

    Args:
        points: (rows, dim), at least one row.
        count: how many centres, at least 1.
        seed: of the first centres' draw.
    """
    centres = _first_centres(points, count, np.random.default_rng(seed))
    assigned = np.full(len(points), -1)
    for _ in range(_SWEEPS):
        moved = nearest_centre(points, centres)
        if (moved == assigned).all():
            break
        assigned = moved
        member = members(assigned, len(centres))
        sizes = member.sum(axis=0)[:, None]
        # A cluster that lost all its points stays where it was.
        means = (member.T @ points) / np.maximum(sizes, 1)
        centres = np.where(sizes > 0, means, centres).astype(np.float32)
    return centres


def nearest_centre(points: Floats, centres: Floats) -> NDArray[np.intp]:
    """(rows,) the number of each point's nearest centre, by Euclid's distance."""
    nearest = np.empty(len(points), dtype=np.intp)
    offset = half_squares(centres)
    size = max(1, CELLS_AT_ONCE // len(centres))
    for start in range(0, len(points), size):
        part = slice(start, start + size)
        nearest[part] = (points[part] @ centres.T - offset).argmax(axis=1)
    return nearest


def members(assigned: NDArray[np.intp], count: int) -> csr_array:
    """(rows, clusters) float32, 1 where a row is in a cluster."""
    rows = len(assigned)
    ones = np.ones(rows, dtype=np.float32)
    return csr_array((ones, assigned, np.arange(rows + 1)), shape=(rows, count))


def _first_centres(points: Floats, count: int, rng: np.random.Generator) -> Floats:
    around = points - points.mean(axis=0)
    halves = half_squares(around)
    chosen = [int(rng.integers(len(points)))]
    distance = np.full(len(points), np.inf)
    for _ in range(min(count, len(points)) - 1):
        newest = chosen[-1]
        squares = 2.0 * (halves + halves[newest] - around @ around[newest])
        distance = np.minimum(distance, np.maximum(squares, 0.0, dtype=np.float64))
        total = distance.sum()
        if total <= _SAME * 2.0 * halves.sum():  # every point stands on a centre
            break
        chosen.append(int(rng.choice(len(points), p=distance / total)))
    return points[chosen]

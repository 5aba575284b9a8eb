"""Quality as the mean over train prompts of the same cluster, itself a mean over clusterings, coarse and fine.

A clustering tells kinds of prompts apart where estimates that are linear or smooth blur them; its borders are in
part chance, which a mean over clusterings evens out, as one over trees does (Breiman 2001). Routing by the errors
of clusters is Jitkrittum et al. 2025, "Universal Model Routing for Efficient LLM Inference".
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.adapters.routers.kmeans import find_centres, members, nearest_centre
from fusionapp.adapters.routers.landmarks import draw_rows, half_squares
from fusionapp.adapters.routers.ridge import Wide

Floats = NDArray[np.float32]
CLUSTERS = (16, 32, 64, 128)
_LEAST = 8
"""Prompts to a cluster on average: a mean of fewer is noise."""
_PRIOR = 2.0
"""As many prompts of mean quality are added to each cluster."""
_MOST_ROWS = 20_000
"""Prompts by which centres are found."""


@attrs.frozen(eq=False)
class Partitions:
    """Fitted clusterings.

    Attributes:
        centres: (centres of all clusterings, dim) float32.
        means: (centres, models) float32: centred quality, over the number of clusterings.
        sizes: (clusterings,) int64, how many of the centres are each one's.
    """

    centres: Floats
    means: Floats
    sizes: NDArray[np.int64]

    def __call__(self, points: Floats) -> Floats:
        """Centred quality (prompts, models) of points (prompts, dim)."""
        # One product: to subtract would take another pass over the result.
        ones = np.ones((len(points), 1), dtype=np.float32)
        nearness = np.hstack([points, ones]) @ np.column_stack([self.centres, -half_squares(self.centres)]).T
        told = np.zeros((len(points), self.means.shape[1]), dtype=np.float32)
        for own in self._clusterings():
            told += self.means[own][nearness[:, own].argmax(axis=1)]
        return told

    def weighed(self, weight: Wide) -> Partitions:
        """The same times a matrix (models, models)."""
        return attrs.evolve(self, means=self.means @ weight.astype(np.float32))

    def _clusterings(self) -> Iterator[slice]:
        stop = 0
        for size in self.sizes.tolist():
            start, stop = stop, stop + size
            yield slice(start, stop)


def fit_partitions(points: Floats, target: Wide) -> tuple[Partitions, Wide]:
    """Cluster prompts, and what each cluster says of its members, each left out alone.

    So nothing may sort prompts by what is said of them here (see `ridge`).

    Args:
        points: (prompts, dim) float32.
        target: (prompts, models) centred qualities; NaN where unknown.
    """
    known = (~np.isnan(target)).astype(np.float64)
    values = np.nan_to_num(target, nan=0.0)
    sample = points[draw_rows(len(points), _MOST_ROWS)]
    found = [find_centres(sample, count, seed) for seed, count in enumerate(_counts(len(points)))]
    left_out, means = np.zeros(target.shape), []
    for centres in found:
        assigned = nearest_centre(points, centres)
        member = members(assigned, len(centres))
        sums, counts = member.T @ values, member.T @ known + _PRIOR
        means.append(sums / counts)
        left_out += (sums[assigned] - values) / (counts[assigned] - known)
    partitions = Partitions(
        np.concatenate(found),
        (np.concatenate(means) / len(found)).astype(np.float32),
        np.array([len(centres) for centres in found]),
    )
    return partitions, left_out / len(found)


def _counts(rows: int) -> list[int]:
    most = max(1, rows // _LEAST)
    return [count for count in CLUSTERS if count <= most] or [most]

"""Quality as the mean over similar prompts of train: the nearest ones, or those of the same cluster."""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.adapters.routers.kmeans import CELLS_AT_ONCE, find_centres, nearest_centre
from fusionapp.adapters.routers.ridge import Wide

Floats = NDArray[np.float32]


@attrs.frozen(eq=False)
class Neighbours:
    """The mean known quality of the nearest prompts by cosine.

    Attributes:
        units: (train, dim) unit vectors.
        target: (train, models) centred qualities; NaN where unknown.
        count: how many are nearest.
    """

    units: Floats
    target: Wide
    count: int

    def __call__(self, units: Floats) -> Floats:
        """(prompts, models) centred quality; 0 where none of the nearest knows a model."""
        told = np.empty((len(units), self.target.shape[1]), dtype=np.float32)
        size = max(1, CELLS_AT_ONCE // len(self.units))
        for start in range(0, len(units), size):
            nearest = _nearest(units[start : start + size] @ self.units.T, self.count)
            told[start : start + len(nearest)] = known_mean(self.target[nearest])
        return told


@attrs.frozen(eq=False)
class Clusters:
    """The mean known quality of a prompt's cluster, by k-means on unit vectors.

    Attributes:
        centres: (clusters, dim).
        means: (clusters, models) centred qualities.
    """

    centres: Floats
    means: Floats

    @classmethod
    def fit(cls, units: Floats, target: Wide, count: int, seed: int) -> Clusters:
        """Up to so many clusters of train; those of a cluster without known answers have the mean quality."""
        centres = find_centres(units, count, seed)
        assigned = nearest_centre(units, centres)
        means = [known_mean(target[None, assigned == cluster])[0] for cluster in range(len(centres))]
        return cls(centres, np.stack(means).astype(np.float32))

    def __call__(self, units: Floats) -> Floats:
        """(prompts, models) centred quality."""
        told: Floats = self.means[nearest_centre(units, self.centres)]
        return told


def known_mean(values: Wide) -> Wide:
    """(groups, members, models) -> (groups, models): the mean of what is known; 0 where nothing is."""
    known = ~np.isnan(values)
    sums: Wide = np.where(known, values, 0.0).sum(axis=1)
    means: Wide = sums / np.maximum(known.sum(axis=1), 1)
    return means


def _nearest(cosines: Floats, count: int) -> NDArray[np.intp]:
    count = min(count, cosines.shape[1])
    return np.argpartition(-cosines, count - 1, axis=1)[:, :count]

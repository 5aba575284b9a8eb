"""Quality as the mean over similar prompts of train: the nearest ones, or those of the same cluster."""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.adapters.routers.ridge import Wide

Floats = NDArray[np.float32]
_CELLS_AT_ONCE = 16_000_000
_SWEEPS = 100


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
        size = max(1, _CELLS_AT_ONCE // len(self.units))
        for start in range(0, len(units), size):
            nearest = _nearest(units[start : start + size] @ self.units.T, self.count)
            told[start : start + len(nearest)] = known_mean(self.target[nearest])
        return told


@attrs.frozen(eq=False)
class Clusters:
    """The mean known quality of a prompt's cluster, by k-means on unit vectors.

    Attributes:
        centres: (clusters, dim) of length 1.
        means: (clusters, models) centred qualities.
    """

    centres: Floats
    means: Floats

    @classmethod
    def fit(cls, units: Floats, target: Wide, count: int, seed: int) -> Clusters:
        """Lloyd's algorithm from k-means++ (Arthur and Vassilvitskii 2007), by cosine."""
        centres = _first_centres(units, count, np.random.default_rng(seed))
        assigned = np.full(len(units), -1)
        for _ in range(_SWEEPS):
            moved = (units @ centres.T).argmax(axis=1)
            if (moved == assigned).all():
                break
            assigned = moved
            sums = np.zeros_like(centres)
            np.add.at(sums, assigned, units)
            length = np.linalg.norm(sums, axis=1, keepdims=True)
            # A cluster that lost all its prompts stays where it was.
            centres = np.where(length > 0, sums / np.where(length > 0, length, 1), centres)
        means = [known_mean(target[None, assigned == cluster])[0] for cluster in range(len(centres))]
        return cls(centres.astype(np.float32), np.stack(means).astype(np.float32))

    def __call__(self, units: Floats) -> Floats:
        """(prompts, models) centred quality."""
        told: Floats = self.means[(units @ self.centres.T).argmax(axis=1)]
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


def _first_centres(units: Floats, count: int, rng: np.random.Generator) -> Floats:
    centres = [units[rng.integers(len(units))]]
    distance = np.full(len(units), np.inf)
    for _ in range(min(count, len(units)) - 1):
        distance = np.minimum(distance, np.maximum(0, 1 - units @ centres[-1]))
        total = distance.sum()
        if total <= 1e-6:  # every prompt stands on a centre
            break
        centres.append(units[rng.choice(len(units), p=distance / total)])
    return np.stack(centres)

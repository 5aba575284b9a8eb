"""Estimates set right by what similar prompts came to."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.adapters.routers.partitions import Partitions, fit_partitions
from fusionapp.adapters.routers.ridge import Wide

Floats = NDArray[np.float32]
NEAR_AXES = 16
"""Of a prompt's places, the first that clusters go by; more of them say little of what kind a prompt is."""


@attrs.frozen(eq=False)
class Neighbourhoods:
    """Centred quality = estimate @ own + that of similar prompts + that of prompts with a similar estimate too.

    Attributes:
        reach: (1,) float32: what estimates are multiplied by to vary as places do.
        own: (models, models) float32.
        places: clusters of prompts by the first of their places.
        profiles: clusters by these and the estimate: where the estimate changes quickly they are narrow.
    """

    reach: Floats
    own: Floats
    places: Partitions
    profiles: Partitions

    def __call__(self, places: Floats, estimate: Floats) -> Floats:
        """(prompts, models) of places (prompts, axes) and estimates of centred quality (prompts, models)."""
        place = places[:, :NEAR_AXES]
        told: Floats = estimate @ self.own + self.places(place)
        told += self.profiles(np.hstack([place, estimate * self.reach]))
        return told

    def weighed(self, weights: Mapping[str, Wide]) -> Neighbourhoods:
        """The sum of its parts, each times the matrix (models, models) of its name in `weights`."""
        return attrs.evolve(
            self,
            own=self.own @ weights["estimate"].astype(np.float32),
            places=self.places.weighed(weights["places"]),
            profiles=self.profiles.weighed(weights["profiles"]),
        )


def fit_neighbourhoods(
    places: Floats, estimate: Wide, target: Wide
) -> tuple[Neighbourhoods, dict[str, Wide]]:
    """All parts at full weight, and what each says of rows left out.

    Args:
        places: (prompts, axes) of train, along principal axes, the one of greatest variance first.
        estimate: (prompts, models) centred quality, of rows left out.
        target: (prompts, models) centred qualities; NaN where unknown.
    """
    place = places[:, :NEAR_AXES]
    spread = estimate.var(axis=0).sum()
    reach = np.array([np.sqrt(place.var(axis=0).sum() / spread) if spread > 0 else 1.0], dtype=np.float32)
    clusters, by_place = fit_partitions(place, target)
    profiles, by_profile = fit_partitions(np.hstack([place, estimate.astype(np.float32) * reach]), target)
    own = np.eye(target.shape[1], dtype=np.float32)
    left_out = {"estimate": estimate, "places": by_place, "profiles": by_profile}
    return Neighbourhoods(reach, own, clusters, profiles), left_out

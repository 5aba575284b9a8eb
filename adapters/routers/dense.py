"""Quality from dense embeddings: linear, and smooth."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.adapters.routers.landmarks import choose_landmarks, fit_over_landmarks, similarity
from fusionapp.adapters.routers.ridge import Wide, fit_ridge

Floats = NDArray[np.float32]
LANDMARKS = 1000
GAMMA = 1.0
"""Of the kernel exp(-gamma |x - y|^2) between unit vectors."""


@attrs.frozen(eq=False)
class DenseEstimate:
    """centred quality = units @ linear + kernel to landmarks @ smooth + level.

    Attributes:
        linear: (dim, models) float32.
        landmarks: (landmarks, dim) float32, prompts of train.
        smooth: (landmarks, models) float32.
        level: (models,) float32.
    """

    linear: Floats
    landmarks: Floats
    smooth: Floats
    level: Floats

    def __call__(self, units: Floats) -> Floats:
        """(prompts, models) of unit vectors (prompts, dim)."""
        kernel = similarity(units @ self.landmarks.T, GAMMA)
        told: Floats = units @ self.linear + kernel @ self.smooth + self.level
        return told

    def weighed(self, weights: Mapping[str, Wide]) -> DenseEstimate:
        """The sum of its parts, each times the matrix (models, models) of its name in `weights`."""
        linear, smooth = (weights[name].astype(np.float32) for name in ("linear", "smooth"))
        return DenseEstimate(self.linear @ linear, self.landmarks, self.smooth @ smooth, self.level @ linear)


def fit_dense(units: Floats, target: Wide) -> tuple[DenseEstimate, dict[str, Wide]]:
    """Both parts at full weight, and what each says of rows left out.

    Args:
        units: (prompts, dim) unit vectors of train.
        target: (prompts, models) centred qualities; NaN where unknown.
    """
    centre = units.mean(0, dtype=np.float64).astype(np.float32)
    ridge = fit_ridge(units - centre, target)
    chosen = choose_landmarks(len(units), LANDMARKS)
    landmarks = units[chosen]
    smooth, over = fit_over_landmarks(similarity(units @ landmarks.T, GAMMA), chosen, target)
    linear = ridge.weights.astype(np.float32)
    estimate = DenseEstimate(linear, landmarks, smooth, -(centre @ linear))
    return estimate, {"linear": ridge.left_out, "smooth": over.left_out}

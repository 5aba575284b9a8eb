"""Quality that is smooth in where prompts lie: kernel ridge."""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.adapters.routers.landmarks import draw_rows, fit_over_landmarks, similarity
from fusionapp.adapters.routers.ridge import Wide

Floats = NDArray[np.float32]
LANDMARKS = 300
GAMMA = 1.0
"""Of the kernel exp(-gamma |x - y|^2)."""


@attrs.frozen(eq=False)
class SmoothEstimate:
    """Centred quality = kernel to landmarks @ weights.

    Attributes:
        landmarks: (landmarks, dim) float32, points of train.
        weights: (landmarks, models) float32.
    """

    landmarks: Floats
    weights: Floats

    def __call__(self, points: Floats) -> Floats:
        """(prompts, models) of points (prompts, dim)."""
        told: Floats = similarity(points, self.landmarks, GAMMA) @ self.weights
        return told

    def weighed(self, weight: Wide) -> SmoothEstimate:
        """The same times a matrix (models, models)."""
        return attrs.evolve(self, weights=self.weights @ weight.astype(np.float32))


def fit_smooth(points: Floats, target: Wide) -> tuple[SmoothEstimate, Wide]:
    """The estimate, and what it says of rows left out.

    Args:
        points: (prompts, dim) of train.
        target: (prompts, models) centred qualities; NaN where unknown.
    """
    chosen = draw_rows(len(points), LANDMARKS)
    landmarks = points[chosen]
    weights, ridge = fit_over_landmarks(similarity(points, landmarks, GAMMA), chosen, target)
    return SmoothEstimate(landmarks, weights), ridge.left_out()

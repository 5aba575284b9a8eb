"""Quality from dense embeddings: linear, and smooth at several widths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.adapters.routers.landmarks import choose_landmarks, fit_over_landmarks, similarity
from fusionapp.adapters.routers.ridge import Wide, fit_ridge

Floats = NDArray[np.float32]
LANDMARKS = 1000
GAMMAS = (1.0, 3.0)
"""Each the power of an integer of the first, so that one exponential serves them all."""


@attrs.frozen(eq=False)
class DenseEstimate:
    """centred quality = units @ linear + sum of kernels to landmarks @ smooth + level.

    Attributes:
        linear: (dim, models) float32.
        landmarks: (landmarks, dim) float32, prompts of train.
        smooth: (kernels, landmarks, models) float32, one for each of `GAMMAS`.
        level: (models,) float32.
    """

    linear: Floats
    landmarks: Floats
    smooth: Floats
    level: Floats

    def __call__(self, units: Floats) -> Floats:
        """(prompts, models) of unit vectors (prompts, dim)."""
        cosines = units @ self.landmarks.T
        kernel = similarity(cosines, GAMMAS[0])
        told: Floats = units @ self.linear + self.level
        for gamma, weights in zip(GAMMAS, self.smooth, strict=True):
            told += _power(kernel, round(gamma / GAMMAS[0])) @ weights
        return told

    def weighed(self, weights: Mapping[str, float]) -> DenseEstimate:
        """The sum of its parts, each as often as its name in `weights` says."""
        smooth = np.stack(
            [
                part * np.float32(weights[_name(gamma)])
                for gamma, part in zip(GAMMAS, self.smooth, strict=True)
            ]
        )
        linear = np.float32(weights["linear"])
        return attrs.evolve(self, linear=self.linear * linear, level=self.level * linear, smooth=smooth)


def fit_dense(units: Floats, target: Wide) -> tuple[DenseEstimate, dict[str, Wide]]:
    """All parts at full weight, and what each says of rows left out.

    Args:
        units: (prompts, dim) unit vectors of train.
        target: (prompts, models) centred qualities; NaN where unknown.
    """
    centre = units.mean(0, dtype=np.float64).astype(np.float32)
    ridge = fit_ridge(units - centre, target)
    left_out = {"linear": ridge.left_out}
    chosen = choose_landmarks(len(units), LANDMARKS)
    landmarks = units[chosen]
    kernel = similarity(units @ landmarks.T, GAMMAS[0])
    smooth = []
    for gamma in GAMMAS:
        weights, fitted = fit_over_landmarks(_power(kernel, round(gamma / GAMMAS[0])), chosen, target)
        smooth.append(weights)
        left_out[_name(gamma)] = fitted.left_out
    linear = ridge.weights.astype(np.float32)
    return DenseEstimate(linear, landmarks, np.stack(smooth), -(centre @ linear)), left_out


def names() -> Sequence[str]:
    """Of its parts."""
    return ["linear", *map(_name, GAMMAS)]


def _name(gamma: float) -> str:
    return f"rbf_{gamma:g}"


def _power(kernel: Floats, exponent: int) -> Floats:
    """By multiplication, which is far quicker than `**`."""
    powered = kernel
    for _ in range(exponent - 1):
        powered = powered * kernel
    return powered

"""Routers that do not look at prompts, or only to draw lots."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.router import Prompts
from fusionapp.domain.errors import UsageError
from fusionapp.domain.routing.answers import ScoreMatrix

Floats = NDArray[np.float32]


@attrs.frozen(eq=False)
class Constant:
    """The same score of each model for every prompt.

    Attributes:
        scores: (models,) in [-1, 1].
    """

    scores: Floats

    def __call__(self, prompts: Prompts) -> Floats:
        """(prompts, models)."""
        return np.tile(self.scores, (len(prompts.texts), 1))


@attrs.frozen
class Lots:
    """Scores drawn for each prompt from its text, so that no other prompt beside it changes them.

    Attributes:
        seed: of the draw.
        models: how many.
    """

    seed: int
    models: int

    def __call__(self, prompts: Prompts) -> Floats:
        """(prompts, models) uniform in [-1, 1)."""
        drawn = np.empty((len(prompts.texts), self.models), dtype=np.float32)
        for row, text in enumerate(prompts.texts):
            digest = sha256(f"{self.seed}:".encode() + text.encode("utf-8", "surrogatepass")).digest()
            drawn[row] = np.random.default_rng(np.frombuffer(digest, dtype=np.uint32)).uniform(
                -1, 1, self.models
            )
        return drawn


def cheapness(scores: ScoreMatrix) -> Floats:
    """(models,) from 1 for what costs nothing to -1 for the dearest, by mean known cost on train.

    Raises:
        UsageError: a model without a known cost.
    """
    mean = _means(scores.cost, scores.models, "cost")
    dearest = mean.max()
    return (1 - 2 * mean / dearest if dearest > 0 else np.zeros_like(mean)).astype(np.float32)


def _means(values: NDArray[np.float64], models: Sequence[str], kind: str) -> NDArray[np.float64]:
    known = ~np.isnan(values)
    unknown = [model for model, any_known in zip(models, np.any(known, axis=0), strict=True) if not any_known]
    if unknown:
        raise UsageError(
            f"routing: no {kind} of model {unknown[0]!r} is known in train; give prices, or leave this out"
        )
    mean: NDArray[np.float64] = np.nanmean(values, axis=0)
    return mean

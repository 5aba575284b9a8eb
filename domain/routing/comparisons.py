"""How often models were compared: too rarely to learn from, or so unevenly that battles are weighed."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.errors import UsageError
from fusionapp.domain.routing.answers import Battles, ScoreMatrix
from fusionapp.domain.routing.comparison_counts import count_pairs, often_enough


def comparisons(battles: Battles) -> NDArray[np.int64]:
    """(models,) battles that each model fought."""
    fighters = np.concatenate([battles.first, battles.second])
    return np.bincount(fighters, minlength=len(battles.models)).astype(np.int64)


def enough_compared(battles: Battles, minimum: int) -> list[str]:
    """The models with at least `minimum` battles among themselves, in their order.

    A model left out takes its battles with it, so others may then have too few: this goes on until all have
    enough.

    Raises:
        UsageError: fewer than two models are left.
    """
    unscored = np.empty((0, len(battles.models)))
    kept = often_enough(count_pairs(unscored, battles), minimum)
    return [model for model, keep in zip(battles.models, kept, strict=True) if keep]


def battles_among(battles: Battles, models: Sequence[str]) -> Battles:
    """The battles of these models alone, renumbered in their order.

    Raises:
        UsageError: a model that the battles do not know.
    """
    numbers = np.full(len(battles.models), -1, dtype=np.int64)
    numbers[positions(models, battles.models)] = np.arange(len(models))
    first, second = numbers[battles.first], numbers[battles.second]
    kept = (first >= 0) & (second >= 0)
    return Battles(tuple(models), battles.prompts[kept], first[kept], second[kept], battles.outcome[kept])


def scores_among(scores: ScoreMatrix, models: Sequence[str]) -> ScoreMatrix:
    """The columns of these models, in their order.

    Raises:
        UsageError: a model that the matrix does not know.
    """
    columns = positions(models, scores.models)
    return ScoreMatrix(
        tuple(models), scores.quality[:, columns], scores.cost[:, columns], scores.latency[:, columns]
    )


def positions(models: Sequence[str], known: Sequence[str]) -> NDArray[np.int64]:
    """(models,) where each stands among those that are known.

    Raises:
        UsageError: one is unknown; a router must never guess what such a model is worth.
    """
    place = {model: number for number, model in enumerate(known)}
    unknown = sorted(set(models) - set(place))
    if unknown:
        raise UsageError(
            f"unknown model{'s' * (len(unknown) > 1)} {', '.join(map(repr, unknown))}; "
            f"known are {', '.join(known)}"
        )
    return np.array([place[model] for model in models], dtype=np.int64)


@attrs.frozen(eq=False)
class Balance:
    """Weights of battles by the rarer of their two models, and what they do.

    Attributes:
        models: names.
        weights: (battles,) float64 of mean 1: inverse to the comparisons of the pair's rarer model.
        comparisons: (models,) int64.
        share: (models,) each model's share of all places in battles; sums to 1.
        weighed_share: (models,) the same under the weights.
        effective: (sum w)^2 / sum w^2: as many equally weighed battles say as much (Kish 1965).
    """

    models: Sequence[str]
    weights: NDArray[np.float64]
    comparisons: NDArray[np.int64]
    share: NDArray[np.float64]
    weighed_share: NDArray[np.float64]
    effective: float


def balance(battles: Battles) -> Balance:
    """Weigh battles so that rare models are seen about as often as common ones.

    Raises:
        UsageError: no battles.
    """
    if not len(battles.prompts):
        raise UsageError("no battles to weigh; train needs prompts that two models answered")
    counts = comparisons(battles)
    weights = 1.0 / np.minimum(counts[battles.first], counts[battles.second])
    weights /= weights.mean()
    sides = np.concatenate([battles.first, battles.second])
    weighed = np.bincount(sides, weights=np.tile(weights, 2), minlength=len(counts))
    effective = float(weights.sum() ** 2 / (weights**2).sum())
    return Balance(battles.models, weights, counts, counts / counts.sum(), weighed / weighed.sum(), effective)

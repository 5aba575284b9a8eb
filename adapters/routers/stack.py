"""A mixture of estimates of every model's quality, weighed by what each says of prompts that it did not see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.adapters.routers.columns import Columns, principal_axes
from fusionapp.adapters.routers.lexical import SparseEstimate, fit_sparse
from fusionapp.adapters.routers.neighbourhoods import Neighbourhoods, fit_neighbourhoods
from fusionapp.adapters.routers.ridge import Wide, fit_ridge
from fusionapp.adapters.routers.smooth import SmoothEstimate, fit_smooth
from fusionapp.adapters.routers.weighing import mixture, weigh
from fusionapp.adapters.torch_shared.router_inputs import (
    InputCard,
    check_inputs,
    counts_of,
    read_cards,
    unit_products,
    unit_vectors,
)
from fusionapp.application.ports.router import AnsweredPrompts, Prompts
from fusionapp.application.ports.router_base import FittedBase, RouterBase
from fusionapp.domain.errors import UsageError
from fusionapp.domain.lexical_weighting import LexicalWeighting
from fusionapp.domain.routing.answers import ScoreMatrix

Floats = NDArray[np.float32]
AXES = 64
"""Principal axes of columns along which places are read: the others are near to noise, and cost time."""
_AT_ONCE = 1024


@attrs.frozen(eq=False)
class Stack(RouterBase):
    """A fitted mixture, its weights folded into the estimates' own.

    Estimates that are linear or smooth are mixed first; what they come to is mixed with what similar prompts came
    to.

    Attributes:
        models: names.
        cards: what it reads of prompts.
        level: (models,) float32 mean quality on train.
        columns: of dense embeddings and features.
        axes: (columns, places) float32, principal axes of train's columns.
        linear: (columns, models) float32.
        smooth: of places.
        sparse: of counts, by encoder.
        neighbourhoods: of similar prompts.
        weights: of each estimate, the mean over all directions, for the reader: in the first mixture, then of that
            mixture ("estimate") beside clusters.
    """

    models: Sequence[str]
    cards: tuple[InputCard, ...]
    level: Floats
    columns: Columns
    axes: Floats
    linear: Floats
    smooth: SmoothEstimate
    sparse: Mapping[str, SparseEstimate]
    neighbourhoods: Neighbourhoods
    weights: Mapping[str, float]

    def quality(self, prompts: Prompts, features: Floats | None = None) -> Floats:
        """See `RouterBase.quality`."""
        check_inputs(self.cards, prompts)
        told = np.empty((len(prompts.texts), len(self.models)), dtype=np.float32)
        matrix = np.hstack([self.axes, self.linear])
        for start in range(0, len(told), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            told[part] = self._tell(prompts.part(part), None if features is None else features[part], matrix)
        return np.clip(told, 0.0, 1.0, out=told)

    def _tell(self, prompts: Prompts, features: Floats | None, matrix: Floats) -> Floats:
        of_units = unit_products(self.cards, prompts, matrix[: len(self.columns.centre)])
        told = self.columns.times(matrix, of_units, features)
        places, linear = np.split(told, [self.axes.shape[1]], axis=1)
        estimate = linear + self.smooth(places)
        for card in self.cards:
            if card.sparse:
                estimate += self.sparse[card.name](counts_of(card, prompts))
        return self.level + self.neighbourhoods(places, estimate)

    def numbers(self) -> Mapping[str, NDArray[Any]]:
        """See `RouterBase.numbers`."""
        arrays: dict[str, NDArray[Any]] = {
            "level": self.level,
            "centre": self.columns.centre,
            "axes": self.axes,
            "linear": self.linear,
            **_named("smooth", self.smooth),
        }
        if self.columns.features is not None:
            arrays["features.mean"] = self.columns.features.mean[0]
            arrays["features.deviation"] = self.columns.features.deviation[0]
        for index, card in enumerate(self.cards):
            if card.sparse:
                estimate = self.sparse[card.name]
                arrays[f"sparse.{index}.columns"] = estimate.weighting.columns
                arrays[f"sparse.{index}.idf"] = estimate.weighting.idf
                arrays[f"sparse.{index}.weights"] = estimate.weights
        for name in ("reach", "own"):
            arrays[f"neighbourhoods.{name}"] = getattr(self.neighbourhoods, name)
        arrays |= _named("neighbourhoods.places", self.neighbourhoods.places)
        arrays |= _named("neighbourhoods.profiles", self.neighbourhoods.profiles)
        return arrays

    def describe(self) -> dict[str, Any]:
        """See `RouterBase.describe`."""
        return {
            "models": list(self.models),
            "inputs": [attrs.asdict(card) for card in self.cards],
            "features": self.columns.features is not None,
            "weights": dict(self.weights),
        }


@attrs.frozen(eq=False)
class FittedStack(FittedBase):
    """A stack and what it says of its own train prompts without their answers.

    Attributes:
        base: the stack.
        left_out: (prompts, models) float32 in [0, 1].
    """

    base: Stack
    left_out: Floats


def fit_stack(train: AnsweredPrompts, features: Floats | None = None) -> FittedStack:
    """Fit every estimate on all of train, and weigh them by their predictions of rows left out.

    Args:
        train: prompts and their answers.
        features: (prompts, features) of their texts; None for a stack that reads none.

    Raises:
        UsageError: fewer than two prompts, a model without a known quality, numbers that are not finite, or
            neither embeddings nor features.
    """
    level, target = centred(train.scores)
    cards = read_cards(train.prompts)
    columns_of, columns = _fit_columns(unit_vectors(cards, train.prompts), features)
    axes = principal_axes(columns, AXES)
    places = columns @ axes
    ridge = fit_ridge(columns, target)
    smooth, smoothly = fit_smooth(places, target)
    sparse, sparsely = _fit_sparse(cards, train.prompts, target)
    left_out = {"linear": ridge.left_out(), "smooth": smoothly, **sparsely}
    first = weigh(left_out, target)
    neighbourhoods, told = fit_neighbourhoods(places, mixture(left_out, first), target)
    second = weigh(told, target)
    stack = Stack(
        models=tuple(train.scores.models),
        cards=cards,
        level=level.astype(np.float32),
        columns=columns_of,
        axes=axes,
        linear=(ridge.weights @ first["linear"]).astype(np.float32),
        smooth=smooth.weighed(first["smooth"]),
        sparse={name: each.weighed(first[f"sparse {name}"]) for name, each in sparse.items()},
        neighbourhoods=neighbourhoods.weighed(second),
        weights={name: float(np.trace(matrix) / len(matrix)) for name, matrix in (first | second).items()},
    )
    return FittedStack(stack, np.clip(level + mixture(told, second), 0.0, 1.0).astype(np.float32))


def _fit_columns(units: Floats, features: Floats | None) -> tuple[Columns, Floats]:
    """What makes a prompt's columns, and those of train; there must be some."""
    columns_of = Columns.fit(units, features)
    columns = columns_of(units, features)
    if not columns.shape[1]:
        raise UsageError(
            "routing: there are neither dense embeddings nor features of texts to go by; name a dense encoder"
        )
    return columns_of, columns


def _fit_sparse(
    cards: Sequence[InputCard], prompts: Prompts, target: Wide
) -> tuple[dict[str, SparseEstimate], dict[str, Wide]]:
    """The estimate of each sparse encoder by its name, and what it says of rows left out by that of its weight."""
    estimates, left_out = {}, {}
    for card in cards:
        if card.sparse:
            counts = counts_of(card, prompts)
            weighting = LexicalWeighting.fit(counts)
            weights, ridge = fit_sparse(weighting.transform(counts), target)
            left_out[f"sparse {card.name}"] = ridge.left_out()
            estimates[card.name] = SparseEstimate(weighting, weights)
    return estimates, left_out


def _named(prefix: str, estimate: Any) -> dict[str, NDArray[Any]]:
    """The arrays of an estimate that holds nothing else."""
    return {f"{prefix}.{name}": value for name, value in attrs.asdict(estimate).items()}


def centred(scores: ScoreMatrix) -> tuple[Wide, Wide]:
    """(models,) mean known quality, and (prompts, models) qualities less it.

    Raises:
        UsageError: fewer than two prompts, or a model without a known quality.
    """
    if len(scores.quality) < 2:
        raise UsageError(
            f"routing: {len(scores.quality)} prompts are too few to learn from; add some to train"
        )
    known = ~np.isnan(scores.quality)
    for model, answered in zip(scores.models, np.any(known, axis=0), strict=True):
        if not answered:
            raise UsageError(
                f"routing: model {model!r} has no known quality in train; leave it out or add its answers"
            )
    level: Wide = np.nanmean(scores.quality, axis=0, dtype=np.float64)
    return level, scores.quality - level

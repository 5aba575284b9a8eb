"""The stack as a network's base: fitted, and made anew from what was stored of it, which is trusted in nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

import numpy as np
from cattrs import Converter
from numpy.typing import NDArray

from fusionapp.adapters.routers.columns import Columns
from fusionapp.adapters.routers.lexical import SparseEstimate
from fusionapp.adapters.routers.neighbourhoods import NEAR_AXES, Neighbourhoods
from fusionapp.adapters.routers.partitions import Partitions
from fusionapp.adapters.routers.smooth import SmoothEstimate
from fusionapp.adapters.routers.stack import FittedStack, Stack, fit_stack
from fusionapp.adapters.torch_shared.router_inputs import InputCard, dense_width
from fusionapp.application.ports.router import AnsweredPrompts
from fusionapp.application.ports.router_base import RouterBases
from fusionapp.domain.embeddings import Json
from fusionapp.domain.errors import CorruptArtifactError
from fusionapp.domain.lexical_weighting import LexicalWeighting
from fusionapp.domain.routing.features import FEATURES
from fusionapp.domain.standardization import Standardization

_CONVERTER = Converter(forbid_extra_keys=True)
Arrays = Mapping[str, NDArray[Any]]


class StackBases(RouterBases):
    """Fits stacks and makes them anew."""

    def fit(self, train: AnsweredPrompts, features: NDArray[np.float32] | None = None) -> FittedStack:
        """See `RouterBases.fit`."""
        return fit_stack(train, features)

    def restore(self, description: Json, numbers: Arrays, place: str) -> Stack:
        """See `RouterBases.restore`."""
        try:
            models = tuple(_CONVERTER.structure(description["models"], list[str]))
            cards = tuple(_CONVERTER.structure(description["inputs"], list[InputCard]))
            features = description["features"]
            weights = _CONVERTER.structure(description["weights"], dict[str, float])
        except Exception as error:
            raise CorruptArtifactError(f"{place}: describes no base ({error!r}); train again") from error
        sizes = [size for card in cards for size in (card.layers, card.dim)]
        sound = bool(models) and isinstance(features, bool) and all(map(isfinite, weights.values()))
        if not sound or any(size < 1 for size in sizes):
            raise CorruptArtifactError(f"{place}: its inputs and models make no base; train again")
        return _Restored(numbers, place, len(models)).stack(models, cards, features, weights)


class _Restored:
    """Arrays, taken out one by one with the shape that each must have."""

    def __init__(self, numbers: Arrays, place: str, models: int) -> None:
        self._numbers, self._place, self._models = numbers, place, models

    def stack(
        self,
        models: Sequence[str],
        cards: tuple[InputCard, ...],
        features: bool,
        weights: Mapping[str, float],
    ) -> Stack:
        dim = dense_width(cards)
        columns = Columns(self._take("centre", (dim,)), self._features() if features else None)
        width = dim + (len(FEATURES) if features else 0)
        axes = self._take("axes", (width, None))
        return Stack(
            models=models,
            cards=cards,
            level=self._take("level", (self._models,)),
            columns=columns,
            axes=axes,
            linear=self._take("linear", (width, self._models)),
            smooth=self._smooth(axes.shape[1]),
            sparse={card.name: self._sparse(index, card) for index, card in enumerate(cards) if card.sparse},
            neighbourhoods=self._neighbourhoods(min(NEAR_AXES, axes.shape[1])),
            weights=weights,
        )

    def _features(self) -> Standardization:
        mean, deviation = (self._take(f"features.{name}", (len(FEATURES),)) for name in ("mean", "deviation"))
        if not (deviation > 0).all():
            raise CorruptArtifactError(f"{self._place}: the means of its features are broken; train again")
        return Standardization(mean[None], deviation[None])

    def _smooth(self, places: int) -> SmoothEstimate:
        landmarks = self._take("smooth.landmarks", (None, places))
        return SmoothEstimate(landmarks, self._take("smooth.weights", (len(landmarks), self._models)))

    def _neighbourhoods(self, places: int) -> Neighbourhoods:
        return Neighbourhoods(
            reach=self._take("neighbourhoods.reach", (1,)),
            own=self._take("neighbourhoods.own", (self._models, self._models)),
            places=self._partitions("neighbourhoods.places", places),
            profiles=self._partitions("neighbourhoods.profiles", places + self._models),
        )

    def _partitions(self, name: str, dim: int) -> Partitions:
        centres = self._take(f"{name}.centres", (None, dim))
        sizes = self._take(f"{name}.sizes", (None,), np.int64)
        if not ((sizes > 0) & (sizes <= len(centres))).all() or sizes.sum() != len(centres) or not len(sizes):
            raise CorruptArtifactError(f"{self._place}: {name!r} are no clusters; train again")
        return Partitions(centres, self._take(f"{name}.means", (len(centres), self._models)), sizes)

    def _sparse(self, index: int, card: InputCard) -> SparseEstimate:
        columns = self._columns(f"sparse.{index}.columns", card.dim)
        idf = self._take(f"sparse.{index}.idf", (len(columns),))
        weights = self._take(f"sparse.{index}.weights", (len(columns), self._models))
        return SparseEstimate(LexicalWeighting(columns, idf), weights)

    def _columns(self, name: str, width: int) -> NDArray[Any]:
        columns = self._take(name, (None,), np.int64)
        if len(columns) and (columns[0] < 0 or columns[-1] >= width or (np.diff(columns) <= 0).any()):
            raise CorruptArtifactError(f"{self._place}: {name!r} are no columns; train again")
        return columns

    def _take(
        self, name: str, shape: tuple[int | None, ...], dtype: type[np.generic] = np.float32
    ) -> NDArray[Any]:
        found = self._numbers.get(name)
        fits = (
            found is not None
            and found.dtype == dtype
            and found.ndim == len(shape)
            and all(want in (None, size) for want, size in zip(shape, found.shape, strict=True))
        )
        if not fits or found is None or not np.isfinite(found).all():
            got = "nothing" if found is None else f"{found.dtype} {found.shape}"
            raise CorruptArtifactError(
                f"{self._place}: {name!r} should be finite {np.dtype(dtype)} {shape}, found {got}; train again"
            )
        return found

"""The stack as a network's base: fitted, and made anew from what was stored of it, which is trusted in nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

import numpy as np
from cattrs import Converter
from numpy.typing import NDArray

from fusionapp.adapters.routers.dense import DenseEstimate
from fusionapp.adapters.routers.lexical import SparseEstimate, TextEstimate
from fusionapp.adapters.routers.ngrams import BUCKETS
from fusionapp.adapters.routers.stack import FittedStack, Stack, fit_stack
from fusionapp.adapters.torch_shared.router_inputs import InputCard, has_dense
from fusionapp.application.ports.router import AnsweredPrompts
from fusionapp.application.ports.router_base import RouterBases
from fusionapp.domain.embeddings import Json
from fusionapp.domain.errors import CorruptArtifactError
from fusionapp.domain.lexical_weighting import LexicalWeighting

_CONVERTER = Converter(forbid_extra_keys=True)
Arrays = Mapping[str, NDArray[Any]]


class StackBases(RouterBases):
    """Fits stacks and makes them anew."""

    def fit(self, train: AnsweredPrompts) -> FittedStack:
        """See `RouterBases.fit`."""
        return fit_stack(train)

    def restore(self, description: Json, numbers: Arrays, place: str) -> Stack:
        """See `RouterBases.restore`."""
        try:
            models = tuple(_CONVERTER.structure(description["models"], list[str]))
            cards = tuple(_CONVERTER.structure(description["inputs"], list[InputCard]))
            weights = _CONVERTER.structure(description["weights"], dict[str, float])
        except Exception as error:
            raise CorruptArtifactError(f"{place}: describes no base ({error!r}); train again") from error
        sizes = [size for card in cards for size in (card.layers, card.dim)]
        if not models or any(size < 1 for size in sizes) or not all(map(isfinite, weights.values())):
            raise CorruptArtifactError(f"{place}: its inputs and models make no base; train again")
        return _Restored(numbers, place, len(models)).stack(models, cards, weights)


class _Restored:
    """Arrays, taken out one by one with the shape that each must have."""

    def __init__(self, numbers: Arrays, place: str, models: int) -> None:
        self._numbers, self._place, self._models = numbers, place, models

    def stack(
        self, models: Sequence[str], cards: tuple[InputCard, ...], weights: Mapping[str, float]
    ) -> Stack:
        width = sum(card.layers * card.dim for card in cards if not card.sparse)
        sparse = {card.name: self._sparse(index, card) for index, card in enumerate(cards) if card.sparse}
        level = self._take("level", (self._models,))
        dense = self._dense(width) if has_dense(cards) else None
        return Stack(models, cards, level, dense, self._text(), sparse, weights)

    def _dense(self, width: int) -> DenseEstimate:
        landmarks = self._take("dense.landmarks", (None, width))
        smooth = self._take("dense.smooth", (len(landmarks), self._models))
        linear = self._take("dense.linear", (width, self._models))
        return DenseEstimate(linear, landmarks, smooth, self._take("dense.level", (self._models,)))

    def _text(self) -> TextEstimate:
        columns = self._columns("text.columns", BUCKETS, np.int32)
        table = np.zeros((BUCKETS, self._models + 1), dtype=np.float32)
        table[columns] = self._take("text.table", (len(columns), self._models + 1))
        return TextEstimate(table)

    def _sparse(self, index: int, card: InputCard) -> SparseEstimate:
        columns = self._columns(f"sparse.{index}.columns", card.dim, np.int64)
        idf = self._take(f"sparse.{index}.idf", (len(columns),))
        weights = self._take(f"sparse.{index}.weights", (len(columns), self._models))
        return SparseEstimate(LexicalWeighting(columns, idf), weights)

    def _columns(self, name: str, width: int, dtype: type[np.integer]) -> NDArray[Any]:
        columns = self._take(name, (None,), dtype)
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

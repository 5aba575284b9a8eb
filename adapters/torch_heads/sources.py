"""Sources as a head takes them: dense views normalised, sparse counts weighted, both on the device."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array, issparse
from torch import Tensor

from fusionapp.adapters.torch_heads.sparse import SparseRows
from fusionapp.domain.embeddings import Dense, Embeddings
from fusionapp.domain.errors import UsageError
from fusionapp.domain.lexical_weighting import LexicalWeighting
from fusionapp.domain.normalization import l2_normalize
from fusionapp.domain.recipe import SourceRecipe
from fusionapp.domain.standardization import Standardization

_CHUNK_ROWS = 4096
"""Rows normalised at once, so that a memory-mapped source is never copied twice."""


@attrs.frozen
class SourceCard:
    """What a head was trained on under one name.

    Attributes:
        name: the encoder's name.
        sparse: True for CSR rows.
        layers: views of a dense source; 1 for a sparse one.
        dim: numbers in a view; the vocabulary of a sparse source.
        kept: columns that a sparse source's weighting keeps; 0 for a dense one.
        recipe: how the source enters.
    """

    name: str
    sparse: bool
    layers: int
    dim: int
    kept: int = 0
    recipe: SourceRecipe = attrs.field(factory=SourceRecipe)


@attrs.frozen(eq=False)
class DenseRows:
    """Dense views on a device.

    Attributes:
        values: (rows, layers, dim) float32.
    """

    values: Tensor

    def take(self, rows: Tensor) -> Tensor:
        """Rows (seeds, batch) int64 -> (seeds, batch, layers, dim)."""
        return self.values.index_select(0, rows.flatten()).view(*rows.shape, *self.values.shape[1:])


@attrs.frozen(eq=False)
class Source:
    """One source's card and how its embeddings are prepared.

    Attributes:
        card: what it is.
        weighting: a sparse source's fitted TF-IDF; None for a dense one.
        standardization: of a dense source that is to be standardised; None for others.
    """

    card: SourceCard
    weighting: LexicalWeighting | None = None
    standardization: Standardization | None = None

    @classmethod
    def fit(cls, name: str, train: Embeddings, recipe: SourceRecipe) -> Source:
        """Describe a source and fit its weighting or standardisation on the train rows.

        Raises:
            UsageError: neither sparse nor (rows, layers, dim), or a number to standardise that is not finite.
        """
        if issparse(train):
            weighting = LexicalWeighting.fit(train, recipe)
            kept = len(weighting.columns)
            return cls(SourceCard(name, True, 1, train.shape[1], kept, recipe), weighting)
        if train.ndim != 3:
            raise UsageError(f"source {name!r}: expected (rows, layers, dim), got shape {train.shape}")
        source = cls(SourceCard(name, False, train.shape[1], train.shape[2], recipe=recipe))
        if recipe.normalize != "standard":
            return source
        for start in range(0, len(train), _CHUNK_ROWS):
            source._check_finite(train[start : start + _CHUNK_ROWS], start)
        return attrs.evolve(source, standardization=Standardization.fit(train))

    def prepare(self, embeddings: Embeddings, device: torch.device) -> DenseRows | SparseRows:
        """Embeddings of any split or batch, weighted or normalised, on the device.

        Dense views are normalised as the source's recipe says. `l2` scales them to length sqrt(dim): numbers of
        variance about 1 are what the layers' initialisation expects.

        Raises:
            UsageError: another shape than the head was trained on, or numbers that are not finite.
        """
        self._check(embeddings)
        if self.weighting is not None:
            return SparseRows.of(self.weighting.transform(csr_array(embeddings)), device)
        values = np.empty(embeddings.shape, dtype=np.float32)
        for start in range(0, len(values), _CHUNK_ROWS):
            chunk = np.asarray(embeddings[start : start + _CHUNK_ROWS], dtype=np.float32)
            self._check_finite(chunk, start)
            values[start : start + _CHUNK_ROWS] = self._normalize(chunk)
        return DenseRows(torch.from_numpy(values).to(device))

    def prepare_views(self, views: Tensor) -> Tensor:
        """What `prepare` makes of dense views (rows, layers, dim), with their gradient."""
        if self.standardization is not None:
            mean, deviation = (
                torch.from_numpy(part).to(views.device)
                for part in (self.standardization.mean, self.standardization.deviation)
            )
            return (views - mean) / deviation
        if self.card.recipe.normalize == "none":
            return views
        scaled: Tensor = l2_normalize(views) * self.card.dim**0.5
        return scaled

    def _normalize(self, chunk: Dense) -> Dense:
        if self.standardization is not None:
            return self.standardization.transform(chunk)
        if self.card.recipe.normalize == "none":
            return chunk
        return l2_normalize(chunk) * np.float32(self.card.dim**0.5)

    def _check(self, embeddings: Embeddings) -> None:
        sparse = bool(issparse(embeddings))
        shape = tuple(embeddings.shape[1:])
        expected = (self.card.dim,) if self.card.sparse else (self.card.layers, self.card.dim)
        if sparse != self.card.sparse or shape != expected:
            wants = _describe(self.card.sparse, expected)
            raise UsageError(
                f"source {self.card.name!r}: the head wants {wants}, got {_describe(sparse, shape)}; "
                "use the encoder and the layers that it was trained with"
            )

    def _check_finite(self, chunk: Dense, start: int) -> None:
        finite = np.isfinite(chunk).all(axis=(1, 2))
        if not finite.all():
            raise UsageError(
                f"source {self.card.name!r}: row {start + int(finite.argmin())} holds a number that is not "
                "finite; extract it again, or check the file with `fusionapp verify`"
            )


def _describe(sparse: bool, shape: Sequence[int]) -> str:
    return f"CSR (rows, {shape[0]})" if sparse else f"({', '.join(map(str, ('rows', *shape)))})"


def check_linear(place: str, linear: NDArray[np.float32], shape: tuple[int, int]) -> None:
    """Refuse scores of a linear path that are not finite numbers (rows, classes).

    Raises:
        UsageError: another shape, or a number that is not finite.
    """
    if linear.shape != shape:
        raise UsageError(f"{place}: scores of the linear path are {linear.shape}, expected {shape}")
    if not np.isfinite(linear).all():
        raise UsageError(f"{place}: the linear path scores with a number that is not finite; fit it again")


def select(prepared: Sequence[DenseRows | SparseRows], rows: Tensor) -> list[Tensor | SparseRows]:
    """One batch: rows (seeds, batch) of every source."""
    return [source.take(rows) for source in prepared]

"""Sources as a heads' graph takes them: tensors by name, and which of their axes are free."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array

from fusionapp.adapters.torch_heads.sources import SourceCard
from fusionapp.adapters.torch_heads.sparse_graph import PARTS
from fusionapp.domain.embeddings import Embeddings

_TRACED_ROWS = 2
"""A batch of one would be taken for a constant."""


@attrs.frozen
class GraphInputs:
    """What goes into a graph for the sources of a head.

    Attributes:
        cards: the sources, in order.
    """

    cards: Sequence[SourceCard]

    @property
    def names(self) -> list[str]:
        """A dense source goes by its encoder's name, a sparse one by ``NAME.indptr``, ``.indices``, ``.data``."""
        return [name for card in self.cards for name in _names(card)]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """By source, (layers, dim), or (vocabulary,) of a sparse one."""
        return {card.name: (card.dim,) if card.sparse else (card.layers, card.dim) for card in self.cards}

    def arrays(self, sources: Mapping[str, Embeddings], rows: int) -> dict[str, NDArray[Any]]:
        """The first rows of all sources, by input name."""
        found: dict[str, NDArray[Any]] = {}
        for card in self.cards:
            found.update(zip(_names(card), _parts(sources[card.name][:rows]), strict=True))
        return found

    def example(self, sources: Mapping[str, Embeddings]) -> tuple[torch.Tensor, ...]:
        """Two rows to trace with."""
        repeated = {card.name: _two(card, sources[card.name]) for card in self.cards}
        return tuple(map(torch.from_numpy, self.arrays(repeated, _TRACED_ROWS).values()))

    def free_axes(self) -> tuple[dict[int, Any], ...]:
        """Of each input: the rows are the same number in all, the cells each source's own."""
        dense = any(not card.sparse for card in self.cards)
        rows = torch.export.Dim("rows" if dense else "starts")
        starts = rows + 1 if dense else rows
        axes: list[dict[int, Any]] = []
        for place, card in enumerate(self.cards):
            if not card.sparse:
                axes.append({0: rows})
                continue
            cells = torch.export.Dim(f"cells_{place}")
            axes += [{0: starts}, {0: cells}, {0: cells}]
        return tuple(axes)


def _names(card: SourceCard) -> list[str]:
    return [f"{card.name}.{part}" for part in PARTS] if card.sparse else [card.name]


def _parts(rows: Embeddings) -> list[NDArray[Any]]:
    if isinstance(rows, np.ndarray):
        return [np.ascontiguousarray(rows, dtype=np.float32)]
    rows = csr_array(rows)
    rows.sum_duplicates()
    return [rows.indptr.astype(np.int64), rows.indices.astype(np.int64), rows.data.astype(np.float32)]


def _two(card: SourceCard, rows: Embeddings) -> Embeddings:
    if isinstance(rows, np.ndarray):
        return np.resize(rows, (_TRACED_ROWS, *rows.shape[1:]))
    # Rows without a cell would make a constant of the number of cells, as would a single cell.
    return csr_array((np.ones(4, np.float32), [0, card.dim - 1] * 2, [0, 2, 4]), shape=(2, card.dim))

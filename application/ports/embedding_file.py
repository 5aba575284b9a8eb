"""Writing embeddings out of the store, for other tools to read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.embeddings import Embeddings, EmbeddingShape, Json


@attrs.frozen(eq=False)
class EmbeddingRows:
    """Rows to be written, read a block at a time and as often as a format asks: the whole never stands in memory.

    Attributes:
        rows: how many in all.
        shape: of one text's embedding.
        blocks: begins at the first row each time it is called; gives row numbers (block,) int64 in the dataset,
            ascending, and dense (block, layers, dim) float32 or CSR (block, vocabulary).
        ids: the id columns of given row numbers; None where the dataset has none but the row number.
    """

    rows: int
    shape: EmbeddingShape
    blocks: Callable[[], Iterator[tuple[NDArray[np.int64], Embeddings]]]
    ids: Callable[[NDArray[np.int64]], Sequence[Mapping[str, Json]]] | None = None


class EmbeddingFile(Protocol):
    """One file in one format."""

    def write(self, path: str, rows: EmbeddingRows, metadata: Mapping[str, Json]) -> Sequence[str]:
        """Write embeddings and, beside them, their metadata as JSON; return the paths written.

        Args:
            path: where to.
            rows: what to write.
            metadata: what the embeddings are.

        Raises:
            UsageError: the format cannot hold these embeddings, or the place cannot be written to.
            CorruptArtifactError: the rows are not as many as announced.
            ResourceError: the disk is full.
        """

"""Exact inner-product search over vectors on disk, in blocks: any number of them in flat memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.adapters.index_files.matrix import Matrix, read_matrix, write_matrix
from fusionapp.adapters.index_files.vectors import checked_queries
from fusionapp.adapters.index_files.whole import reading, whole_file
from fusionapp.application.ports.vector_index import Hits, OpenIndex, VectorIndex
from fusionapp.domain.embeddings import Json
from fusionapp.domain.retrieval.nearest import Keys, best_of, ranked

_BLOCK_BYTES = 32 << 20
"""Vectors looked at together: enough for a matrix product at full speed."""

_QUERIES = 512
"""Queries multiplied together; their scores against a block of 384 numbers a vector take 45 MB."""


@attrs.frozen
class NumpyIndex(VectorIndex):
    """A .npy file that any tool can read.

    Attributes:
        block_bytes: vectors multiplied at once; it does not change a hit beyond rounding.
    """

    block_bytes: int = _BLOCK_BYTES

    def build(self, vectors: Iterable[NDArray[np.float32]], path: str) -> Mapping[str, Json]:
        """Write the vectors as they come."""
        with whole_file(path) as place:
            matrix = write_matrix(vectors, place)
        return {"kind": "numpy", "rows": matrix.rows, "dim": matrix.dim, "settings": {}}

    def open(self, path: str) -> OpenIndex:
        """Read the header; vectors are mapped when they are searched."""
        with reading(path, "numpy"):
            return OpenNumpyIndex(read_matrix(Path(path)), self.block_bytes)


@attrs.frozen
class OpenNumpyIndex(OpenIndex):
    """Vectors on disk, ready to be searched."""

    matrix: Matrix
    block_bytes: int

    @property
    def rows(self) -> int:
        """How many vectors there are."""
        return self.matrix.rows

    @property
    def dim(self) -> int:
        """Their length."""
        return self.matrix.dim

    def search(self, queries: NDArray[np.float32], k: int) -> Hits:
        """Every vector is read once for all queries together."""
        checked = checked_queries(queries, self.dim, k)
        wanted = min(k, self.rows)
        groups = [checked[start : start + _QUERIES] for start in range(0, len(checked), _QUERIES)]
        best: list[Keys | None] = [None] * len(groups)
        for first, block in self.matrix.blocks(self.block_bytes):
            for place, group in enumerate(groups):
                best[place] = best_of(group @ block.T, wanted, first, best[place])
        kept = [keys for keys in best if keys is not None]
        return Hits(*ranked(np.concatenate([np.empty((0, wanted), np.int64), *kept]), k))

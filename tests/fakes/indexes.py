"""An index in memory, held to the contract suite of the ones on disk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.vector_index import Hits, OpenIndex, VectorIndex
from fusionapp.domain.embeddings import Json
from fusionapp.domain.errors import CorruptArtifactError, UsageError


@attrs.define(eq=False)
class MemoryIndex(VectorIndex, OpenIndex):
    """Compares with every vector, one query at a time; `opened` counts how often a file was opened."""

    kept: dict[str, NDArray[np.float32]] = attrs.field(factory=dict)
    vectors: NDArray[np.float32] = attrs.field(factory=lambda: np.zeros((0, 0), np.float32))
    opened: int = 0

    def build(self, vectors: Iterable[NDArray[np.float32]], path: str) -> Mapping[str, Json]:
        parts = [np.asarray(part, np.float32) for part in vectors]
        if not sum(map(len, parts)) or len({part.shape[1] for part in parts}) != 1:
            raise UsageError("no vectors, or of several lengths")
        whole = np.concatenate(parts)
        if not np.isfinite(whole).all():
            raise UsageError("a number is not finite")
        self.kept[path] = whole
        Path(path).write_bytes(whole.tobytes())
        return {"kind": "memory", "rows": len(whole), "dim": whole.shape[1], "settings": {}}

    def open(self, path: str) -> OpenIndex:
        if (
            path not in self.kept
            or not Path(path).is_file()
            or Path(path).read_bytes() != self.kept[path].tobytes()
        ):
            raise CorruptArtifactError(f"{path}: no index")
        self.opened += 1
        return MemoryIndex(vectors=self.kept[path])

    @property
    def rows(self) -> int:
        return len(self.vectors)

    @property
    def dim(self) -> int:
        return int(self.vectors.shape[1])

    def search(self, queries: NDArray[np.float32], k: int) -> Hits:
        if k < 1 or queries.ndim != 2 or queries.shape[1] != self.dim:
            raise UsageError("k is less than 1, or the queries have another dim")
        rows = np.full((len(queries), k), -1, np.int64)
        scores = np.full((len(queries), k), -np.inf, np.float32)
        for place, query in enumerate(queries):
            products = self.vectors @ query
            order = np.argsort(-products, kind="stable")[:k]
            rows[place, : len(order)], scores[place, : len(order)] = order, products[order]
        return Hits(rows, scores)

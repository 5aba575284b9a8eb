"""Asking a FAISS index."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.adapters.index_files.vectors import checked_queries
from fusionapp.application.ports.vector_index import Hits, OpenIndex
from fusionapp.domain.retrieval.nearest import hit_keys, ranked

_GPU_HITS = 2048
"""The most hits of a query that FAISS's GPU kernels keep."""

Found = tuple[NDArray[np.int64], NDArray[np.float32]]


@attrs.frozen(eq=False)
class OpenFaissIndex(OpenIndex):
    """An index in memory.

    Attributes:
        faiss: the module.
        index: the index.
        copy: the same on a GPU, or None.
    """

    faiss: Any = attrs.field(repr=False)
    index: Any = attrs.field(repr=False)
    copy: Any = attrs.field(repr=False)

    @property
    def rows(self) -> int:
        """How many vectors it holds."""
        return int(self.index.ntotal)

    @property
    def dim(self) -> int:
        """Their length."""
        return int(self.index.d)

    def search(self, queries: NDArray[np.float32], k: int) -> Hits:
        """Search, and search again what a shortcut was too short for.

        Where a graph or the lists read lead to fewer hits than there are, the query is compared with all. Where
        an exact index may have cut through equal scores, more hits are asked for.
        """
        checked = checked_queries(queries, self.dim, k)
        wanted = min(k, self.rows)
        if isinstance(self.index, self.faiss.IndexFlat):
            return self._exact(checked, wanted, k)
        rows, scores = self._shortcut(checked, wanted)
        short = np.flatnonzero((rows < 0).any(axis=1))
        if len(short):
            rows[short], scores[short] = self._whole(checked[short], wanted)
        return Hits(*ranked(hit_keys(rows, scores), k))

    def _exact(self, queries: NDArray[np.float32], wanted: int, k: int) -> Hits:
        rows = np.full((len(queries), k), -1, dtype=np.int64)
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        left, depth = np.arange(len(queries)), min(wanted + 1, self.rows)
        while len(left):
            found, values = self._ask(queries[left], depth)
            cut = (values[:, wanted - 1] == values[:, -1]) & (depth < self.rows)
            done = left[~cut]
            best, their = ranked(hit_keys(found[~cut], values[~cut]), wanted)
            rows[done, :wanted], scores[done, :wanted] = best, their
            left, depth = left[cut], min(4 * depth, self.rows)
        return Hits(rows, scores)

    def _ask(self, queries: NDArray[np.float32], k: int, **parameters: Any) -> Found:
        index = self.index if self.copy is None or k > _GPU_HITS or parameters else self.copy
        scores, rows = index.search(queries, k, **parameters)
        return rows, scores

    def _shortcut(self, queries: NDArray[np.float32], k: int) -> Found:
        if isinstance(self.index, self.faiss.IndexHNSW):
            width = max(self.index.hnsw.efSearch, k)
            return self._ask(queries, k, params=self.faiss.SearchParametersHNSW(efSearch=width))
        return self._ask(queries, k)

    def _whole(self, queries: NDArray[np.float32], k: int) -> Found:
        if isinstance(self.index, self.faiss.IndexHNSW):
            scores, rows = self.index.storage.search(queries, k)
            return rows, scores
        every = self.faiss.SearchParametersIVF(nprobe=self.index.nlist)
        return self._ask(queries, k, params=every)

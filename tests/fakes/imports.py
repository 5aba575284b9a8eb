"""Vectors that were made elsewhere, held in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from fakes.encoders import CountingEncoder

from fusionapp.application.ports.imported_vectors import SplitVectors, VectorsBySplit
from fusionapp.domain.embeddings import Dense, EmbeddingShape, ExecutionPlan, Json
from fusionapp.domain.errors import UsageError


class MemoryVectors(SplitVectors):
    """One split's rows, and every range that was read of them.

    Attributes:
        ranges: in the order of reading.
    """

    def __init__(self, matrix: Dense, name: str) -> None:
        self.ranges: list[tuple[int, int]] = []
        self._matrix = matrix
        self._name = name

    @property
    def identity(self) -> Mapping[str, Json]:
        return {"adapter": "imported", "name": self._name}

    @property
    def shape(self) -> EmbeddingShape:
        return EmbeddingShape(*self._matrix.shape[1:])

    @property
    def rows(self) -> int:
        return len(self._matrix)

    @property
    def origin(self) -> str:
        return f"memory {self._name}"

    def plan(self, rows: int) -> ExecutionPlan:
        return ExecutionPlan()

    def read(self, ranges: Sequence[tuple[int, int]]) -> Iterator[Dense]:
        for start, stop in ranges:
            self.ranges.append((start, stop))
            yield self._matrix[start:stop]


class MemoryImport(CountingEncoder, VectorsBySplit):
    """An encoder of which only `of_split` may be asked for embeddings; `calls` tells whether it was."""

    def __init__(self, **matrices: Dense) -> None:
        layers, dim = next(iter(matrices.values())).shape[1:]
        super().__init__(layers, dim)
        self.splits = {split: MemoryVectors(matrix, split) for split, matrix in matrices.items()}

    def of_split(self, split: str) -> MemoryVectors:
        if split not in self.splits:
            raise UsageError(f"no matrix for split {split!r}")
        return self.splits[split]


def matrix(rows: int, seed: int = 0) -> Dense:
    """(rows, 2, 4), no two rows alike."""
    return np.random.default_rng(seed).normal(size=(rows, 2, 4)).astype(np.float32)

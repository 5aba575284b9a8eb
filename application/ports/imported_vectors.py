"""Embeddings that were made elsewhere: known by their row, not by their text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

from fusionapp.domain.embeddings import Dense, EmbeddingShape, ExecutionPlan, Json


class SplitVectors(Protocol):
    """The vectors of one split's texts, in their order."""

    @property
    def identity(self) -> Mapping[str, Json]:
        """What the vectors are: their hash, and what is said to have made them."""

    @property
    def shape(self) -> EmbeddingShape:
        """The shape of one text's vectors."""

    @property
    def rows(self) -> int:
        """How many texts they stand for."""

    @property
    def origin(self) -> str:
        """Where they are read from, for messages."""

    def plan(self, rows: int) -> ExecutionPlan:
        """Nothing is computed; the plan of a set's header all the same."""

    def read(self, ranges: Sequence[tuple[int, int]]) -> Iterator[Dense]:
        """Rows [start, stop) of each range, ascending and disjoint: (rows, layers, dim) float32.

        Raises:
            UsageError: the file does not hold what its header says.
        """


@runtime_checkable
class VectorsBySplit(Protocol):
    """An encoder that has vectors and no model: `encode`, which knows texts alone, is not asked.

    It is a port of its own beside `Encoder`, because only the import needs row numbers; whoever encodes texts is
    spared them, and may leave out repeated ones.
    """

    def of_split(self, split: str) -> SplitVectors:
        """The vectors of a split.

        Raises:
            UsageError: there are none, or the file cannot be read.
        """

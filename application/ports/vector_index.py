"""Finding the nearest of many vectors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.embeddings import Json


@attrs.frozen(eq=False)
class Hits:
    """The best documents of each query, best first.

    Attributes:
        rows: (queries, k) int64 document rows; -1 where there are fewer than k.
        scores: (queries, k) float32, not rising; -inf where the row is -1.
    """

    rows: NDArray[np.int64]
    scores: NDArray[np.float32]


class OpenIndex(Protocol):
    """An index that can be asked."""

    @property
    def rows(self) -> int:
        """How many vectors it holds."""

    @property
    def dim(self) -> int:
        """Their length."""

    def search(self, queries: NDArray[np.float32], k: int) -> Hits:
        """The k rows of greatest inner product with each of (queries, dim); equal scores by ascending row.

        Raises:
            UsageError: the queries have another dim, or k is less than 1.
        """


class VectorIndex(Protocol):
    """Builds and opens indexes of one kind, by inner product."""

    def build(self, vectors: Iterable[NDArray[np.float32]], path: str) -> Mapping[str, Json]:
        """Write an index over vectors given in parts of (rows, dim), whole or not at all.

        Returns:
            What it is: kind, rows, dim, and the settings that were chosen, for the document that names its hash.

        Raises:
            UsageError: there are too few vectors for the kind, a part has another dim or a number that is not
                finite, or the kind's library is missing.
            ResourceError: memory or disk ran out.
        """

    def open(self, path: str) -> OpenIndex:
        """An index written before.

        The caller has compared its hash first: the formats are not safe against files from others.

        Raises:
            CorruptArtifactError: it is missing or not such an index.
        """

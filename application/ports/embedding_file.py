"""Writing embeddings out of the store, for other tools to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from fusionapp.domain.embeddings import Embeddings, Json


class EmbeddingFile(Protocol):
    """One file in one format."""

    def write(
        self,
        path: str,
        embeddings: Embeddings,
        ids: Sequence[Mapping[str, Json]],
        metadata: Mapping[str, Json],
    ) -> Sequence[str]:
        """Write embeddings and, beside them, their metadata as JSON; return the paths written.

        Args:
            path: where to.
            embeddings: dense (rows, layers, dim) or CSR (rows, vocabulary).
            ids: each row's id columns.
            metadata: what the embeddings are.

        Raises:
            UsageError: the format cannot hold these embeddings.
            ResourceError: the disk is full.
        """

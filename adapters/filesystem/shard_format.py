"""What a file format has to do to keep shards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fusionapp.adapters.filesystem.checksums import Checksum
from fusionapp.adapters.filesystem.disk import Chunk
from fusionapp.domain.embeddings import Embeddings, EmbeddingShape
from fusionapp.domain.errors import UsageError


class ShardFormat(Protocol):
    """Turns shards into files and back; stateless, and the same shard always becomes the same bytes."""

    @property
    def name(self) -> str:
        """What the experiment's `storage.adapter` calls it."""

    def file_names(self, index: int, shape: EmbeddingShape) -> Sequence[str]:
        """The files of shard `index`, all of them in the set's directory."""

    def encode(
        self, index: int, rows: NDArray[np.int64], embeddings: Embeddings, shape: EmbeddingShape
    ) -> Mapping[str, Iterable[Chunk]]:
        """The content of each of the shard's files.

        Args:
            index: which shard.
            rows: (kept,) row numbers.
            embeddings: (kept, layers, dim) float32, or canonical CSR (kept, vocabulary) float32.
            shape: the shape of one text's embedding.
        """

    def decode(
        self, directory: Path, files: Mapping[str, Checksum], rows: NDArray[np.int64], shape: EmbeddingShape
    ) -> Embeddings:
        """A shard's embeddings, as `encode` got them, read-only and memory-mapped where the format allows.

        Raises:
            CorruptArtifactError: a file is missing, has another size than recorded or holds something else.
        """


def shard_format(name: str) -> ShardFormat:
    """The format that a `storage.adapter` names; pyarrow is imported only for parquet.

    Raises:
        UsageError: there is no such format.
    """
    if name == "npy":
        from fusionapp.adapters.filesystem.shards_npy import NpyShards

        return NpyShards()
    if name == "parquet":
        from fusionapp.adapters.filesystem.shards_parquet import ParquetShards

        return ParquetShards()
    raise UsageError(f"storage.adapter: there is no {name!r}; use one of {', '.join(FORMATS)}")


FORMATS = ("npy", "parquet")
"""The values of `storage.adapter`; each keeps its sets in a folder of its own under the root."""

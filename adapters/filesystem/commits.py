"""The last look before a shard becomes durable: what is wrong there would be trusted for ever."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from fusionapp.adapters.filesystem.records import check_quarantined, kept_rows, shard_at
from fusionapp.application.ports.embedding_store import Header, Quarantined, Shard
from fusionapp.domain.embeddings import Embeddings, EmbeddingShape


def check_commit(
    header: Header,
    shard: Shard,
    rows: NDArray[np.int64],
    embeddings: Embeddings,
    truncated: int,
    quarantined: Sequence[Quarantined],
) -> None:
    """See that a shard is what its header promises.

    Raises:
        ValueError: the shard, its rows or its embeddings are something else, or not finite.
    """
    if shard != shard_at(header, shard.index):
        raise ValueError(f"{shard} is not shard {shard.index} of {header.rows} rows by {header.shard_rows}")
    check_quarantined(shard, quarantined)
    if not np.array_equal(rows, kept_rows(shard, quarantined)):
        raise ValueError(f"{shard}: the rows given are not the shard's rows less the quarantined ones")
    if not 0 <= truncated <= len(rows):
        raise ValueError(f"{shard}: {truncated} of {len(rows)} texts truncated")
    _check_embeddings(shard, embeddings, len(rows), header.shape)


def canonical(embeddings: Embeddings) -> Embeddings:
    """CSR with sorted indices, each once, so that equal matrices become equal bytes; dense as it is."""
    if isinstance(embeddings, csr_array) and not embeddings.has_canonical_format:
        embeddings = embeddings.copy()
        embeddings.sum_duplicates()
    return embeddings


def _check_embeddings(shard: Shard, embeddings: Embeddings, kept: int, shape: EmbeddingShape) -> None:
    expected = (kept, shape.dim) if shape.sparse else (kept, shape.layers, shape.dim)
    if isinstance(embeddings, csr_array) != shape.sparse or embeddings.shape != expected:
        raise ValueError(f"{shard}: got {type(embeddings).__name__} {embeddings.shape}, expected {expected}")
    if embeddings.dtype != np.float32:
        raise ValueError(f"{shard}: embeddings are {embeddings.dtype}, expected float32")
    values = embeddings.data if isinstance(embeddings, csr_array) else embeddings
    if not np.isfinite(values).all():
        raise ValueError(f"{shard}: an embedding is not finite; quarantine its row")

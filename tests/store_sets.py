"""Small sets of embeddings on disk, for tests of the files themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from fusionapp.adapters.filesystem.store import FileEmbeddingStore
from fusionapp.application.ports.embedding_store import EmbeddingWriter, Header, Quarantined, Shard
from fusionapp.domain.embeddings import Embeddings, EmbeddingShape, ExecutionPlan

DENSE = EmbeddingShape(layers=2, dim=5)
SPARSE = EmbeddingShape(layers=1, dim=40, sparse=True)
KEY = "minilm-3f2a9c"

KILLED_SHAPES = {"dense": EmbeddingShape(layers=4, dim=96), "sparse": EmbeddingShape(1, 512, sparse=True)}
"""Large enough for a SIGKILL to land inside a write."""


def make_header(shape: EmbeddingShape = DENSE, rows: int = 10, shard_rows: int = 4) -> Header:
    return Header("f" * 64, {"model": "mini"}, "0" * 64, rows, shard_rows, shape, ExecutionPlan())


def shard_vectors(shape: EmbeddingShape, shard: Shard) -> Embeddings:
    """Always the same vectors for the same shard, as an encoder gives them."""
    rng = np.random.default_rng(shard.index)
    rows = shard.stop - shard.start
    if shape.sparse:
        return csr_array(rng.integers(0, 2, (rows, shape.dim)).astype(np.float32))
    return rng.standard_normal((rows, shape.layers, shape.dim)).astype(np.float32)


def commit_shard(writer: EmbeddingWriter, shard: Shard) -> None:
    """Commit a shard whole; row 1 of the job is quarantined."""
    rows = np.arange(shard.start, shard.stop)
    kept = np.flatnonzero(rows != 1)
    left_out = [Quarantined(1, "blank text")] if len(kept) < len(rows) else []
    writer.commit(
        shard, rows[kept], shard_vectors(writer.header.shape, shard)[kept], min(1, len(kept)), left_out
    )


def write_set(root: Path, adapter: str, header: Header, shards: int | None = None) -> Path:
    """Write what is pending, at most `shards` of it; returns the set's directory."""
    store = FileEmbeddingStore(root, adapter)
    with store.write(KEY, header) as writer:
        for shard in list(writer.pending())[:shards]:
            commit_shard(writer, shard)
    return Path(store.locate(KEY))


def contents(directory: Path) -> dict[str, bytes]:
    """Every file below a directory."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }

"""What keeping embeddings costs: committing, loading and verifying a shard of MiniLM's six layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fusionapp.adapters.filesystem.store import FileEmbeddingStore
from fusionapp.application.ports.embedding_store import Header, Shard
from fusionapp.domain.embeddings import EmbeddingShape, ExecutionPlan

SHAPE = EmbeddingShape(layers=6, dim=384)
SHARD = Shard(0, 0, 2048)
HEADER = Header("f" * 64, {}, "0" * 64, 2 * SHARD.stop, SHARD.stop, SHAPE, ExecutionPlan())


@pytest.fixture(params=["npy", "parquet"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> FileEmbeddingStore:
    store = FileEmbeddingStore(tmp_path, request.param)
    with store.write("set", HEADER) as writer:
        for shard in writer.pending():
            writer.commit(shard, np.arange(shard.start, shard.stop), vectors(), 0)
    return store


def vectors() -> Any:
    rows = SHARD.stop - SHARD.start
    return np.random.default_rng(0).standard_normal((rows, SHAPE.layers, SHAPE.dim), dtype=np.float32)


def test_committing_a_shard_of_19_megabytes(benchmark: Any, store: FileEmbeddingStore) -> None:
    rows, embeddings = np.arange(SHARD.stop), vectors()
    with store.write("set", HEADER) as writer:
        benchmark(writer.commit, SHARD, rows, embeddings, 0)


def test_loading_two_shards(benchmark: Any, store: FileEmbeddingStore) -> None:
    stored = store.read("set")
    assert stored is not None
    assert benchmark(stored.load).shape == (2 * SHARD.stop, SHAPE.layers, SHAPE.dim)


def test_verifying_two_shards(benchmark: Any, store: FileEmbeddingStore) -> None:
    assert not benchmark(store.verify, "set")

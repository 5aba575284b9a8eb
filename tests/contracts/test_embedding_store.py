"""What every embedding store promises, in memory and on disk alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from fakes.stores import MemoryEmbeddingStore
from numpy.typing import NDArray
from scipy.sparse import csr_array

from fusionapp.adapters.filesystem.store import FileEmbeddingStore
from fusionapp.application.ports.embedding_store import EmbeddingStore, Header, Quarantined, Shard
from fusionapp.domain.embeddings import (
    Embeddings,
    EmbeddingShape,
    ExecutionPlan,
    fingerprint,
    take_rows,
)
from fusionapp.domain.errors import CorruptArtifactError, LockedError, UsageError

DENSE = EmbeddingShape(layers=2, dim=5)
SPARSE = EmbeddingShape(layers=1, dim=40, sparse=True)
KEY = "minilm-3f2a9c"
FOUR = np.arange(4)

Reopen = Callable[[], EmbeddingStore]


@pytest.fixture(params=["memory", "npy", "parquet"])
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Reopen:
    """Opens the store afresh, as another process would."""
    if request.param == "memory":
        store = MemoryEmbeddingStore()
        return lambda: store
    return lambda: FileEmbeddingStore(tmp_path / "embeddings", request.param)


@pytest.fixture(params=[DENSE, SPARSE], ids=["dense", "sparse"])
def shape(request: pytest.FixtureRequest) -> EmbeddingShape:
    kind: EmbeddingShape = request.param
    return kind


def make_header(shape: EmbeddingShape = DENSE, rows: int = 10, shard_rows: int = 4) -> Header:
    identity = {"model": "mini", "layers": [-2, -1], "prefix": None, "normalise": True}
    return Header(fingerprint(identity), identity, "0" * 64, rows, shard_rows, shape, ExecutionPlan())


def vectors(shape: EmbeddingShape, rows: int = 10) -> Embeddings:
    rng = np.random.default_rng(0)
    if not shape.sparse:
        return rng.standard_normal((rows, shape.layers, shape.dim)).astype(np.float32)
    counts = rng.integers(0, 3, (rows, shape.dim)).astype(np.float32)
    counts[rows // 2 :: 3] = 0  # rows without a single entry
    return csr_array(counts)


def dense(embeddings: Embeddings) -> NDArray[Any]:
    return embeddings.toarray() if isinstance(embeddings, csr_array) else np.asarray(embeddings)


def fill(
    store: EmbeddingStore,
    header: Header,
    only: Iterable[int] | None = None,
    left_out: Sequence[Quarantined] = (),
) -> None:
    """Commit shards in the order given, all pending ones by default."""
    every = vectors(header.shape, header.rows)
    with store.write(KEY, header) as writer:
        pending = {shard.index: shard for shard in writer.pending()}
        for index in pending if only is None else only:
            shard = pending[index]
            quarantined = [item for item in left_out if shard.start <= item.row < shard.stop]
            gone = {item.row for item in quarantined}
            rows = np.array([row for row in range(shard.start, shard.stop) if row not in gone], np.int64)
            writer.commit(shard, rows, take_rows(every, rows), min(1, len(rows)), quarantined)


def test_a_set_that_was_not_begun_reads_as_none(reopen: Reopen) -> None:
    assert reopen().read(KEY) is None
    assert list(reopen().keys()) == []


def test_what_was_written_comes_back_exactly_and_in_order(reopen: Reopen, shape: EmbeddingShape) -> None:
    fill(reopen(), make_header(shape))
    stored = reopen().read(KEY)
    assert stored is not None
    np.testing.assert_array_equal(dense(stored.load()), dense(vectors(shape)))
    assert stored.rows().tolist() == list(range(10))


def test_embeddings_come_back_as_float32_dense_or_csr(reopen: Reopen, shape: EmbeddingShape) -> None:
    fill(reopen(), make_header(shape))
    stored = reopen().read(KEY)
    assert stored is not None
    loaded = stored.load()
    assert loaded.dtype == np.float32
    assert isinstance(loaded, csr_array) == shape.sparse


def test_the_order_of_commits_does_not_change_the_order_of_rows(
    reopen: Reopen, shape: EmbeddingShape
) -> None:
    fill(reopen(), make_header(shape), only=[2, 0, 1])
    stored = reopen().read(KEY)
    assert stored is not None
    np.testing.assert_array_equal(dense(stored.load()), dense(vectors(shape)))
    assert [rows.tolist() for rows, _ in stored.shards()] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_a_single_shard_is_loaded_like_several(reopen: Reopen, shape: EmbeddingShape) -> None:
    fill(reopen(), make_header(shape, shard_rows=100))
    stored = reopen().read(KEY)
    assert stored is not None
    np.testing.assert_array_equal(dense(stored.load()), dense(vectors(shape)))


def test_a_set_of_no_rows_is_complete_and_keeps_its_width(reopen: Reopen, shape: EmbeddingShape) -> None:
    fill(reopen(), make_header(shape, rows=0))
    stored = reopen().read(KEY)
    assert stored is not None
    assert stored.status().complete
    assert stored.load().shape == ((0, 40) if shape.sparse else (0, 2, 5))
    assert stored.rows().dtype == np.int64


def test_an_unfinished_set_counts_durable_rows_only(reopen: Reopen, shape: EmbeddingShape) -> None:
    fill(reopen(), make_header(shape), only=[0, 2])
    stored = reopen().read(KEY)
    assert stored is not None
    status = stored.status()
    assert (status.rows, status.durable_rows, status.complete) == (10, 6, False)
    assert stored.rows().tolist() == [0, 1, 2, 3, 8, 9]


def test_resuming_asks_for_the_missing_shards_alone(reopen: Reopen, shape: EmbeddingShape) -> None:
    fill(reopen(), make_header(shape), only=[0, 2])
    with reopen().write(KEY, make_header(shape)) as writer:
        assert list(writer.pending()) == [Shard(1, 4, 8)]
    fill(reopen(), make_header(shape))
    stored = reopen().read(KEY)
    assert stored is not None
    assert stored.status().complete
    np.testing.assert_array_equal(dense(stored.load()), dense(vectors(shape)))


def test_quarantined_rows_are_absent_listed_and_count_as_done(reopen: Reopen, shape: EmbeddingShape) -> None:
    left_out = [Quarantined(1, "blank text"), Quarantined(8, "NaN"), Quarantined(9, "NaN")]
    fill(reopen(), make_header(shape), left_out=left_out)
    stored = reopen().read(KEY)
    assert stored is not None
    status = stored.status()
    assert status.quarantined == tuple(left_out)
    assert (status.durable_rows, status.complete) == (7, True)
    assert stored.rows().tolist() == [0, 2, 3, 4, 5, 6, 7]
    np.testing.assert_array_equal(dense(stored.load()), dense(vectors(shape))[stored.rows()])


def test_truncated_texts_are_counted(reopen: Reopen) -> None:
    fill(reopen(), make_header())
    stored = reopen().read(KEY)
    assert stored is not None
    assert stored.status().truncated == 3


def test_a_resumed_set_keeps_the_plan_and_shards_of_its_first_run(reopen: Reopen) -> None:
    first = make_header()
    fill(reopen(), first, only=[0])
    later = attrs.evolve(
        first, plan=ExecutionPlan("cuda:0", "bfloat16", "sdpa", 2, 65536, True), shard_rows=7
    )
    with reopen().write(KEY, later) as writer:
        assert writer.header == first
        assert [shard.index for shard in writer.pending()] == [1, 2]


@pytest.mark.parametrize(
    "change",
    [{"fingerprint": "f" * 64}, {"rows": 11}, {"texts_sha256": "1" * 64}, {"identity": {"model": "maxi"}}],
    ids=lambda change: next(iter(change)),
)
def test_a_set_of_something_else_under_the_same_name_is_refused(
    reopen: Reopen, change: dict[str, object]
) -> None:
    fill(reopen(), make_header())
    other = attrs.evolve(make_header(), **change)  # type: ignore[arg-type]  # one field by name
    with pytest.raises(CorruptArtifactError, match=KEY), reopen().write(KEY, other):
        pass


def test_a_second_writer_is_refused_while_the_first_lives(reopen: Reopen) -> None:
    header = make_header()
    with (
        reopen().write(KEY, header),
        pytest.raises(LockedError, match=KEY),
        reopen().write(KEY, header),
    ):
        pass
    fill(reopen(), header)


def test_a_writer_that_fails_frees_the_lock_and_keeps_what_it_committed(reopen: Reopen) -> None:
    header = make_header()

    def stop_after_one_shard() -> None:
        with reopen().write(KEY, header) as writer:
            writer.commit(Shard(0, 0, 4), FOUR, vectors(DENSE, 4), 0)
            raise InterruptedError

    with pytest.raises(InterruptedError):
        stop_after_one_shard()
    with reopen().write(KEY, header) as writer:
        assert [shard.index for shard in writer.pending()] == [1, 2]


def test_sets_can_be_read_while_they_are_written(reopen: Reopen) -> None:
    header = make_header()
    with reopen().write(KEY, header) as writer:
        writer.commit(Shard(0, 0, 4), FOUR, vectors(DENSE, 4), 0)
        stored = reopen().read(KEY)
        assert stored is not None
        assert stored.rows().tolist() == [0, 1, 2, 3]


def test_sets_are_listed_and_names_may_be_of_any_script(reopen: Reopen) -> None:
    for key in ("zèbre-1", "编码器-2", "кодировщик-3"):
        with reopen().write(key, make_header()):
            pass
    assert list(reopen().keys()) == sorted(["zèbre-1", "编码器-2", "кодировщик-3"])
    assert "编码器-2" in reopen().locate("编码器-2")


@pytest.mark.parametrize("key", ["", "..", "../up", "a/b", "/etc", ".hidden", "a\\b"])
def test_a_name_that_could_leave_the_root_is_refused(reopen: Reopen, key: str) -> None:
    with pytest.raises(UsageError, match="key"):
        reopen().locate(key)
    with pytest.raises(UsageError, match="key"), reopen().write(key, make_header()):
        pass


def test_a_whole_set_verifies_and_an_unfinished_one_too(reopen: Reopen, shape: EmbeddingShape) -> None:
    fill(reopen(), make_header(shape), only=[1])
    assert list(reopen().verify(KEY)) == []
    fill(reopen(), make_header(shape))
    assert list(reopen().verify(KEY)) == []


def test_a_set_that_is_missing_does_not_verify(reopen: Reopen) -> None:
    assert [problem.problem for problem in reopen().verify(KEY)] == ["is missing"]


@pytest.mark.parametrize(
    ("shard", "rows", "embeddings"),
    [
        (Shard(0, 0, 5), FOUR, vectors(DENSE, 4)),
        (Shard(0, 0, 4), FOUR[::-1], vectors(DENSE, 4)),
        (Shard(0, 0, 4), FOUR[:3], vectors(DENSE, 3)),
        (Shard(0, 0, 4), FOUR, vectors(DENSE, 3)),
        (Shard(0, 0, 4), FOUR, vectors(DENSE, 4).astype(np.float64)),
        (Shard(0, 0, 4), FOUR, np.full((4, 2, 5), np.nan, np.float32)),
        (Shard(0, 0, 4), FOUR, np.zeros((4, 2, 6), np.float32)),
    ],
    ids=["shard", "order", "row without reason", "rows", "dtype", "NaN", "dim"],
)
def test_a_shard_that_is_not_what_the_header_promises_is_refused(
    reopen: Reopen, shard: Shard, rows: NDArray[np.int64], embeddings: Embeddings
) -> None:
    with reopen().write(KEY, make_header()) as writer:
        with pytest.raises(ValueError, match="Shard"):
            writer.commit(shard, rows, embeddings, 0)
        assert len(writer.pending()) == 3


def test_rows_of_durable_shards_are_fetched_in_any_order_and_quarantined_ones_are_told(
    reopen: Reopen,
) -> None:
    fill(reopen(), make_header(), only=[0, 1], left_out=[Quarantined(5, "blank text")])
    wanted = np.array([7, 0, 5, 0])

    with reopen().write(KEY, make_header()) as writer:
        present, found = writer.fetch(wanted)

    assert present.tolist() == [True, True, False, True]
    expected = dense(vectors(DENSE))[wanted]
    expected[2] = 0
    np.testing.assert_array_equal(found, expected)


def test_a_row_whose_shard_is_not_durable_cannot_be_fetched(reopen: Reopen) -> None:
    with reopen().write(KEY, make_header()) as writer, pytest.raises(ValueError, match="not durable"):
        writer.fetch(np.array([9]))

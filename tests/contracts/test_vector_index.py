"""What every vector index promises, exact or not, in memory and on disk alike."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import attrs
import numpy as np
import pytest
from fakes.indexes import MemoryIndex
from numpy.typing import NDArray

from fusionapp.adapters.faiss_index.index import FaissIndex
from fusionapp.adapters.faiss_index.settings import Wishes
from fusionapp.adapters.numpy_index.index import NumpyIndex
from fusionapp.adapters.usearch_index.index import UsearchIndex
from fusionapp.application.ports.vector_index import VectorIndex
from fusionapp.domain.errors import CorruptArtifactError, UsageError

ROWS, DIM = 3000, 32


@attrs.frozen
class Case:
    """An index, the recall@10 that it reaches at least on clustered vectors, and how far its scores are off."""

    index: VectorIndex
    recall: float = 1.0
    error: float = 1e-5


CASES = {
    "memory": Case(MemoryIndex()),
    "numpy": Case(NumpyIndex(block_bytes=50_000)),
    "flat": Case(FaissIndex("flat")),
    "hnsw": Case(FaissIndex("hnsw", threads=1), recall=0.98),
    "ivfpq": Case(FaissIndex("ivfpq", threads=1), recall=0.6, error=0.5),
    "usearch": Case(UsearchIndex(threads=1), recall=0.98),
    "usearch-bf16": Case(UsearchIndex("bf16", threads=1), recall=0.93, error=0.02),
    "usearch-i8": Case(UsearchIndex("i8", threads=1), recall=0.93, error=0.05),
}
EXACT = ["memory", "numpy", "flat"]
FILES = [name for name in CASES if name != "memory"]


@pytest.fixture(params=list(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[cast(str, request.param)]


@pytest.fixture(params=EXACT)
def exact(request: pytest.FixtureRequest) -> VectorIndex:
    return CASES[cast(str, request.param)].index


@pytest.fixture(params=FILES)
def on_disk(request: pytest.FixtureRequest) -> VectorIndex:
    return CASES[cast(str, request.param)].index


def clustered() -> NDArray[np.float32]:
    random = np.random.default_rng(3)
    centres = random.normal(size=(40, DIM))
    vectors = centres[random.integers(40, size=ROWS)] + 0.5 * random.normal(size=(ROWS, DIM))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


VECTORS = clustered()
QUERIES = VECTORS[:50] + 0.05 * np.random.default_rng(4).normal(size=(50, DIM)).astype(np.float32)


def in_parts(vectors: NDArray[np.float32], step: int = 700) -> Iterator[NDArray[np.float32]]:
    for start in range(0, len(vectors), step):
        yield vectors[start : start + step]


def truth(vectors: NDArray[np.float32], queries: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    return np.argsort(-(queries @ vectors.T), axis=1, kind="stable")[:, :k]


def test_it_finds_what_comparing_with_every_vector_finds(case: Case, tmp_path: Path) -> None:
    case.index.build(in_parts(VECTORS), str(tmp_path / "index"))
    hits = case.index.open(str(tmp_path / "index")).search(QUERIES, 10)
    shared = [
        set(a) & set(b) for a, b in zip(hits.rows.tolist(), truth(VECTORS, QUERIES, 10).tolist(), strict=True)
    ]
    assert np.mean([len(one) / 10 for one in shared]) >= case.recall


def test_scores_are_inner_products_and_do_not_rise(case: Case, tmp_path: Path) -> None:
    case.index.build(in_parts(3 * VECTORS), str(tmp_path / "index"))
    hits = case.index.open(str(tmp_path / "index")).search(QUERIES, 10)
    products = np.take_along_axis(QUERIES @ (3 * VECTORS).T, hits.rows, axis=1)
    np.testing.assert_allclose(hits.scores, products, atol=3 * case.error)
    assert (np.diff(hits.scores, axis=1) <= 0).all()
    assert [hits.rows.dtype.name, hits.scores.dtype.name] == ["int64", "float32"]


def test_it_says_what_it_is(case: Case, tmp_path: Path) -> None:
    described = case.index.build(in_parts(VECTORS), str(tmp_path / "index"))
    opened = case.index.open(str(tmp_path / "index"))
    assert (described["rows"], described["dim"]) == (opened.rows, opened.dim) == (ROWS, DIM)
    assert described["kind"]
    assert isinstance(described["settings"], dict)


def test_more_hits_than_vectors_end_in_nothing(case: Case, tmp_path: Path) -> None:
    vectors = VECTORS[:700]
    case.index.build([vectors], str(tmp_path / "index"))
    hits = case.index.open(str(tmp_path / "index")).search(QUERIES[:3], 710)
    assert [sorted(row) for row in hits.rows[:, :700].tolist()] == [list(range(700))] * 3
    assert (hits.rows[:, 700:] == -1).all()
    assert np.isneginf(hits.scores[:, 700:]).all()


def test_equal_vectors_rank_by_row(exact: VectorIndex, tmp_path: Path) -> None:
    vectors = np.tile(np.array([[1.0, 0.0], [0.0, 1.0]], np.float32), (600, 1))
    exact.build(in_parts(vectors, 250), str(tmp_path / "index"))
    hits = exact.open(str(tmp_path / "index")).search(np.array([[1.0, 0.5]], np.float32), 7)
    assert hits.rows.tolist() == [[0, 2, 4, 6, 8, 10, 12]]


def test_no_query_has_no_hits(case: Case, tmp_path: Path) -> None:
    case.index.build([VECTORS[:700]], str(tmp_path / "index"))
    hits = case.index.open(str(tmp_path / "index")).search(np.empty((0, DIM), np.float32), 5)
    assert hits.rows.shape == hits.scores.shape == (0, 5)


def test_queries_of_another_length_are_refused(case: Case, tmp_path: Path) -> None:
    case.index.build([VECTORS[:700]], str(tmp_path / "index"))
    with pytest.raises(UsageError):
        case.index.open(str(tmp_path / "index")).search(QUERIES[:, :-1], 5)


def test_no_hits_at_all_are_refused(case: Case, tmp_path: Path) -> None:
    case.index.build([VECTORS[:700]], str(tmp_path / "index"))
    with pytest.raises(UsageError):
        case.index.open(str(tmp_path / "index")).search(QUERIES, 0)


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [np.empty((0, DIM), np.float32)],
        [VECTORS[:700], VECTORS[:700, :-1]],
        [VECTORS[:700], np.full((1, DIM), np.nan, np.float32)],
        [VECTORS[:700], np.full((1, DIM), np.inf, np.float32)],
    ],
    ids=["none", "empty", "another length", "nan", "infinity"],
)
def test_what_is_no_set_of_vectors_leaves_nothing_behind(
    case: Case, parts: list[NDArray[np.float32]], tmp_path: Path
) -> None:
    with pytest.raises(UsageError):
        case.index.build(parts, str(tmp_path / "index"))
    assert list(tmp_path.iterdir()) == []


def test_a_build_that_breaks_off_leaves_the_old_index(on_disk: VectorIndex, tmp_path: Path) -> None:
    def broken() -> Iterator[NDArray[np.float32]]:
        yield VECTORS[:700]
        raise InterruptedError("stopped")

    on_disk.build([VECTORS[:700]], str(tmp_path / "index"))
    with pytest.raises(Exception, match=r"stopped|cannot be written"):
        on_disk.build(broken(), str(tmp_path / "index"))
    assert [path.name for path in tmp_path.iterdir()] == ["index"]
    assert on_disk.open(str(tmp_path / "index")).rows == 700


@pytest.mark.parametrize("kept", [0, 3, 100, 0.5, -3])
def test_a_file_cut_short_is_corrupt(on_disk: VectorIndex, kept: float, tmp_path: Path) -> None:
    path = tmp_path / "index"
    on_disk.build([VECTORS[:700]], str(path))
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if isinstance(kept, float) else kept])
    with pytest.raises(CorruptArtifactError, match="index"):
        on_disk.open(str(path))


def test_no_file_is_corrupt(case: Case, tmp_path: Path) -> None:
    with pytest.raises(CorruptArtifactError):
        case.index.open(str(tmp_path / "index"))


def test_an_index_of_another_kind_is_corrupt(on_disk: VectorIndex, tmp_path: Path) -> None:
    other = NumpyIndex() if not isinstance(on_disk, NumpyIndex) else FaissIndex("flat")
    other.build([VECTORS[:700]], str(tmp_path / "index"))
    with pytest.raises(CorruptArtifactError):
        on_disk.open(str(tmp_path / "index"))


def test_one_thread_builds_the_same_bytes_again(on_disk: VectorIndex, tmp_path: Path) -> None:
    for name in ("a", "b"):
        on_disk.build(in_parts(VECTORS[:700]), str(tmp_path / name))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_too_few_vectors_for_product_codes_name_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="use the kind flat"):
        FaissIndex("ivfpq").build([VECTORS[:500]], str(tmp_path / "index"))


@pytest.mark.parametrize(
    "wishes",
    [
        Wishes(nlist=0),
        Wishes(nlist=701),
        Wishes(nprobe=10**6),
        Wishes(parts=5),
        Wishes(nbits=10),
        Wishes(nbits=0),
    ],
    ids=str,
)
def test_wishes_that_cannot_be_had_are_refused(wishes: Wishes, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="index"):
        FaissIndex("ivfpq", wishes).build([VECTORS[:700]], str(tmp_path / "index"))


def test_wishes_are_recorded_as_they_are_used(tmp_path: Path) -> None:
    wishes = Wishes(nlist=9, nprobe=3, parts=16, nbits=5)
    described = FaissIndex("ivfpq", wishes).build([VECTORS], str(tmp_path / "index"))
    assert described["settings"] == {"nlist": 9, "nprobe": 3, "parts": 16, "nbits": 5, "seed": 0}

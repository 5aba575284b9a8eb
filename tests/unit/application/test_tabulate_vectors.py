"""What shorter and coarser vectors find, held to slow searches."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from fakes.stores import MemorySpool
from numpy.typing import NDArray

from fusionapp.adapters.ir_measures.metrics import IrMeasures
from fusionapp.application.services import rank_documents
from fusionapp.application.services.load_pairs import SearchProblem
from fusionapp.application.services.rank_documents import SplitVectors
from fusionapp.application.services.tabulate_vectors import TabulateVectors, halves
from fusionapp.domain.examples import Example

RANDOM = np.random.default_rng(0)
DOCUMENTS = RANDOM.normal(size=(40, 64)).astype(np.float32)
QUERIES = (DOCUMENTS[:12] + 2.5 * RANDOM.normal(size=(12, 64))).astype(np.float32)
VECTORS = SplitVectors(QUERIES, DOCUMENTS)


@pytest.fixture(name="problem")
def _problem() -> SearchProblem:
    spool = MemorySpool()
    queries = spool.write("test.queries", [Example(f"q{row}", None, {"id": f"q{row}"}) for row in range(12)])
    documents = spool.write(
        "test.documents", [Example(f"d{row}", None, {"id": f"d{row}"}) for row in range(40)]
    )
    return SearchProblem(queries, documents, [{row: 1} for row in range(12)])


def slow(score: Callable[[NDArray[np.float64], NDArray[np.float64]], float], dim: int) -> tuple[float, float]:
    """Recall and reciprocal rank at 10 of query i, whose document is i, one score at a time."""
    recalls, ranks = [], []
    documents = [row[:dim].astype(float) / np.linalg.norm(row[:dim]) for row in DOCUMENTS]
    for place, query in enumerate(QUERIES):
        kept = query[:dim].astype(float) / np.linalg.norm(query[:dim])
        scores = [score(kept, one) for one in documents]
        order = sorted(range(len(scores)), key=lambda row: (-scores[row], row))[:10]
        recalls.append(float(place in order))
        ranks.append(1 / (1 + order.index(place)) if place in order else 0.0)
    return float(np.mean(recalls)), float(np.mean(ranks))


def table(
    problem: SearchProblem, *vectors: SplitVectors, dims: tuple[int, ...] = ()
) -> dict[tuple[int, str], dict]:  # type: ignore[type-arg]
    rows = TabulateVectors(IrMeasures())(vectors or (VECTORS,), problem, dims)
    return {(row["dim"], row["kept as"]): row for row in rows}


def test_halves_end_at_thirty_two() -> None:
    assert halves(384) == {384, 192, 96, 48}
    assert halves(64) == {64, 32}
    assert halves(20) == {20}


def test_every_dim_is_tabulated_in_every_way_with_its_bytes(problem: SearchProblem) -> None:
    found = table(problem)
    assert {key: row["bytes"] for key, row in found.items()} == {
        (64, "float32"): 256,
        (64, "int8"): 64,
        (64, "binary"): 8,
        (64, "binary rescored"): 8,
        (32, "float32"): 128,
        (32, "int8"): 32,
        (32, "binary"): 4,
        (32, "binary rescored"): 4,
    }


def test_dims_that_were_trained_are_tabulated_beside_the_whole(problem: SearchProblem) -> None:
    assert {dim for dim, _ in table(problem, dims=(48, 16, 500))} == {64, 48, 16}


@pytest.mark.parametrize("dim", [64, 32])
def test_whole_numbers_find_what_a_loop_finds(problem: SearchProblem, dim: int) -> None:
    row = table(problem)[dim, "float32"]
    assert (row["recall@10"], row["mrr@10"]) == pytest.approx(slow(lambda q, d: float(q @ d), dim))


@pytest.mark.parametrize("dim", [64, 32])
def test_bits_find_what_a_loop_finds(problem: SearchProblem, dim: int) -> None:
    row = table(problem)[dim, "binary"]
    agree = slow(lambda q, d: float(np.sum((q > 0) == (d > 0))), dim)
    assert (row["recall@10"], row["mrr@10"]) == pytest.approx(agree)


def test_rescored_bits_find_what_a_loop_over_all_signs_finds(problem: SearchProblem) -> None:
    row = table(problem)[64, "binary rescored"]
    signs = slow(lambda q, d: float(q @ np.where(d > 0, 1.0, -1.0)), 64)
    # Forty documents are all that are rescored, so that nothing is lost on the way.
    assert (row["recall@10"], row["mrr@10"]) == pytest.approx(signs)


def test_bytes_lose_little(problem: SearchProblem) -> None:
    found = table(problem)
    assert found[64, "int8"]["recall@10"] == pytest.approx(found[64, "float32"]["recall@10"], abs=0.1)


def test_seeds_are_averaged(problem: SearchProblem) -> None:
    other = SplitVectors(QUERIES[::-1].copy(), DOCUMENTS)
    each = [table(problem, one)[64, "float32"]["mrr@10"] for one in (VECTORS, other)]
    assert each[0] != each[1]
    assert table(problem, VECTORS, other)[64, "float32"]["mrr@10"] == pytest.approx(np.mean(each))


def test_blocks_change_nothing(problem: SearchProblem, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = table(problem)
    monkeypatch.setattr("fusionapp.application.services.tabulate_vectors.SCORES_AT_ONCE", 100)
    assert table(problem) == whole
    assert rank_documents.SCORES_AT_ONCE > 100


def test_lengths_count_where_vectors_are_not_scaled(problem: SearchProblem) -> None:
    longer = SplitVectors(QUERIES, DOCUMENTS * np.linspace(1, 5, 40, dtype=np.float32)[:, None])
    tabulate = TabulateVectors(IrMeasures())
    rows = tabulate([longer], problem, cosine=False)
    scores = QUERIES @ longer.documents.T
    order = np.argsort(-scores, axis=1, kind="stable")[:, :10]
    assert rows[0]["recall@10"] == pytest.approx(np.mean([row in order[row] for row in range(12)]))

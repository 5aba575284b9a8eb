"""Rankings by vectors, by words and by both, held to slow loops."""

from __future__ import annotations

import numpy as np
import pytest
from fakes.stores import MemorySpool

from fusionapp.adapters.bm25.ranker import Bm25
from fusionapp.adapters.tfidf.ranker import TfIdf
from fusionapp.application.ports.vector_index import Hits
from fusionapp.application.services import rank_documents
from fusionapp.application.services.load_pairs import SearchProblem
from fusionapp.application.services.rank_documents import RankDocuments, Ranking, SplitVectors
from fusionapp.domain.examples import Example
from fusionapp.domain.retrieval.ranking import reciprocal_ranks

RANDOM = np.random.default_rng(0)
WORDS = ["fox", "dog", "house", "day", "rain", "quick", "brown", "lazy", "happy", "sad", "small", "red"]


def problem(split: str, queries: int, documents: int) -> SearchProblem:
    """Query i wants document i, with which it shares one word of three."""
    spool = MemorySpool()
    texts = [" ".join(RANDOM.choice(WORDS, 3, replace=False)) for _ in range(documents)]
    asked = [f"{texts[row].split()[0]} {RANDOM.choice(WORDS)}" for row in range(queries)]
    return SearchProblem(
        spool.write(
            f"{split}.queries", [Example(text, None, {"id": f"q{row}"}) for row, text in enumerate(asked)]
        ),
        spool.write(
            f"{split}.documents", [Example(text, None, {"id": f"d{row}"}) for row, text in enumerate(texts)]
        ),
        [{row: 1} for row in range(queries)],
    )


def vectors(queries: int, documents: int) -> SplitVectors:
    found = RANDOM.normal(size=(documents, 6)).astype(np.float32)
    noise = RANDOM.normal(size=(queries, 6)).astype(np.float32)
    return SplitVectors(found[:queries] + 1.5 * noise, found)


VALIDATION, TEST = problem("validation", 8, 20), problem("test", 9, 25)
RANK = RankDocuments(VALIDATION, TEST, 15)
BOTH = (vectors(8, 20), vectors(9, 25))


def mrr(hits: Hits, of: SearchProblem) -> float:
    return float(reciprocal_ranks(hits.rows, of.relevant, 10).mean())


def test_dense_rankings_are_the_greatest_inner_products() -> None:
    ranking = RANK.dense("tuned", [BOTH], seconds=2.0)
    for hits, one in ((ranking.validation[0], BOTH[0]), (ranking.test[0], BOTH[1])):
        for query, rows in zip(one.queries, hits.rows.tolist(), strict=True):
            products = [float(query @ document) for document in one.documents]
            order = sorted((-product, row) for row, product in enumerate(products))
            assert rows == [row for _, row in order[:15]]
    assert ranking.seconds >= 2.0


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = RANK.dense("tuned", [BOTH]).test[0].rows
    monkeypatch.setattr(rank_documents, "SCORES_AT_ONCE", 60)
    assert np.array_equal(RANK.dense("tuned", [BOTH]).test[0].rows, whole)


def test_fewer_documents_than_the_depth_are_all_ranked() -> None:
    ranking = RankDocuments(VALIDATION, TEST, 1000).dense("tuned", [BOTH])
    assert (ranking.validation[0].rows.shape, ranking.test[0].rows.shape) == ((8, 20), (9, 25))


def test_words_rank_each_split_among_its_own_documents() -> None:
    ranking = RANK.lexical("bm25", Bm25())
    expected = Bm25().rank(list(TEST.documents.stream()), list(TEST.queries.stream()), 15)
    assert np.array_equal(ranking.test[0].rows, expected.rows)
    assert len(ranking.validation) == 1


def test_a_hybrid_is_no_worse_on_validation_than_either_of_its_parts_and_says_what_it_chose() -> None:
    dense, words = RANK.dense("tuned", [BOTH]), RANK.lexical("bm25", Bm25())
    hybrid = RANK.hybrid("hybrid", dense, [words])
    assert mrr(hybrid.validation[0], VALIDATION) >= max(
        mrr(one.validation[0], VALIDATION) for one in (dense, words)
    )
    assert "bm25" in hybrid.note
    assert hybrid.seconds >= dense.seconds + words.seconds


def test_the_hybrid_takes_the_better_of_its_partners_on_validation() -> None:
    dense = RANK.dense("tuned", [BOTH])
    words = [RANK.lexical("bm25", Bm25()), RANK.lexical("tfidf", TfIdf())]
    alone = [mrr(RANK.hybrid("hybrid", dense, [one]).validation[0], VALIDATION) for one in words]
    assert mrr(RANK.hybrid("hybrid", dense, words).validation[0], VALIDATION) == max(alone)


def test_each_seed_chooses_for_itself() -> None:
    other = (vectors(8, 20), vectors(9, 25))
    words = [RANK.lexical("bm25", Bm25())]
    together = RANK.hybrid("hybrid", RANK.dense("tuned", [BOTH, other]), words)
    for seed, one in enumerate((BOTH, other)):
        apart = RANK.hybrid("hybrid", RANK.dense("tuned", [one]), words)
        assert np.array_equal(together.test[seed].rows, apart.test[0].rows)
        assert apart.note in together.note


def test_what_is_judged_by_has_no_part_in_the_choice() -> None:
    dense, words = RANK.dense("tuned", [BOTH]), [RANK.lexical("bm25", Bm25())]
    blind = RankDocuments(VALIDATION, SearchProblem(TEST.queries, TEST.documents, [{24: 1}] * 9), 15)
    assert blind.hybrid("hybrid", dense, words).note == RANK.hybrid("hybrid", dense, words).note


def unvalidated() -> tuple[RankDocuments, Ranking, list[Ranking]]:
    """A dense ranking and two by words, of a test without validation."""
    rank = RankDocuments(None, TEST, 15)
    words = [rank.lexical("bm25", Bm25()), rank.lexical("tfidf", TfIdf())]
    return rank, rank.dense("untuned", [(None, BOTH[1])], seconds=2.0), words


def test_without_validation_the_lists_are_those_of_test_alone() -> None:
    _, dense, (words, _) = unvalidated()
    assert (dense.validation, words.validation) == ([], [])
    assert np.array_equal(dense.test[0].rows, RANK.dense("untuned", [BOTH]).test[0].rows)
    assert np.array_equal(words.test[0].rows, RANK.lexical("bm25", Bm25()).test[0].rows)


def test_without_validation_a_hybrid_is_the_reciprocal_ranks_with_the_first_by_words() -> None:
    rank, dense, words = unvalidated()
    hybrid = rank.hybrid("hybrid", dense, words)
    assert hybrid.note == "reciprocal ranks of dense and bm25, not chosen"
    assert hybrid.validation == []
    assert hybrid.seconds >= dense.seconds + words[0].seconds
    for query in range(TEST.queries.rows):
        gains: dict[int, float] = {}
        for place, row in enumerate(dense.test[0].rows[query].tolist(), 1):
            gains[row] = gains.get(row, 0.0) + 1 / (60 + place)
        found = zip(words[0].test[0].rows[query].tolist(), words[0].test[0].scores[query], strict=True)
        for place, (row, score) in enumerate(found, 1):
            if row >= 0 and score > 0:
                gains[row] = gains.get(row, 0.0) + 1 / (60 + place)
        expected = sorted(gains, key=lambda row: (-gains[row], row))[:15]
        assert hybrid.test[0].rows[query].tolist() == expected


def test_without_validation_what_is_relevant_has_no_part_in_a_hybrid() -> None:
    rank, dense, words = unvalidated()
    blind = RankDocuments(None, SearchProblem(TEST.queries, TEST.documents, [{24: 1}] * 9), 15)
    assert np.array_equal(
        blind.hybrid("hybrid", dense, words).test[0].rows, rank.hybrid("hybrid", dense, words).test[0].rows
    )

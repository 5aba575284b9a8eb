from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from fusionapp.domain.errors import UsageError
from fusionapp.domain.retrieval import ranking
from fusionapp.domain.retrieval.ranking import (
    exact_ranks,
    first_relevant_rank,
    reciprocal,
    reciprocal_ranks,
    relevant_hits,
)

ROWS = np.array([[4, 2, 7], [1, 0, -1], [5, 6, 3], [-1, -1, -1]])
RELEVANT = [{2: 1, 7: 3}, {9: 1}, {3: 1}, {0: 1}]


def test_hits_are_marked_and_missing_documents_are_none() -> None:
    expected = [[False, True, True], [False] * 3, [False, False, True], [False] * 3]
    assert relevant_hits(ROWS, RELEVANT).tolist() == expected


def test_ranks_count_from_1_to_the_best_relevant_document() -> None:
    assert first_relevant_rank(ROWS, RELEVANT).tolist() == [2, 0, 3, 0]


def test_reciprocal_ranks_end_at_k() -> None:
    assert reciprocal_ranks(ROWS, RELEVANT).tolist() == [1 / 2, 0, 1 / 3, 0]
    assert reciprocal_ranks(ROWS, RELEVANT, 2).tolist() == [1 / 2, 0, 0, 0]


def test_rankings_without_a_column_have_no_hit() -> None:
    assert first_relevant_rank(np.empty((2, 0), np.int64), [{1}, {2}]).tolist() == [0, 0]


def test_relevant_documents_of_other_queries_do_not_count() -> None:
    assert first_relevant_rank(np.array([[0], [1]]), [[1], [0]]).tolist() == [0, 0]


def test_another_number_of_queries_is_refused() -> None:
    with pytest.raises(UsageError, match="rankings of 4 queries, but relevant documents of 1"):
        relevant_hits(ROWS, [{1}])


def test_reciprocal_ranks_agree_with_scikit_learn() -> None:
    """With one relevant document, average precision is the reciprocal rank."""
    from sklearn.metrics import label_ranking_average_precision_score

    rng = np.random.default_rng(0)
    queries, documents = rng.normal(size=(30, 8)), rng.normal(size=(40, 8))
    own = rng.integers(0, 40, 30)
    oracle = label_ranking_average_precision_score(np.eye(40)[own], queries @ documents.T)
    ranks = exact_ranks(queries, documents, np.stack([np.arange(30), own], axis=1))
    np.testing.assert_allclose(reciprocal(ranks).mean(), oracle)


@given(st.integers(0, 1000), st.sampled_from([20, 10**6]))
def test_exact_ranks_agree_with_sorted_rankings(seed: int, cells: int) -> None:
    """Small whole numbers, so that many scores are equal; blocks of two queries, or one block."""
    rng = np.random.default_rng(seed)
    queries, documents = rng.integers(-1, 2, (7, 3)) * 1.0, rng.integers(-1, 2, (9, 3)) * 1.0
    pairs = np.stack([rng.integers(0, 6, 8), rng.integers(0, 9, 8)], axis=1)
    relevant = [{int(d) for q, d in pairs if q == query} for query in range(7)]
    sorted_rows = np.argsort(-(queries @ documents.T), axis=1, kind="stable")
    kept, ranking._CELLS_AT_ONCE = ranking._CELLS_AT_ONCE, cells
    try:
        ranks = exact_ranks(queries, documents, pairs)
    finally:
        ranking._CELLS_AT_ONCE = kept
    np.testing.assert_array_equal(ranks, first_relevant_rank(sorted_rows, relevant))


def test_a_score_that_is_not_a_number_ranks_last() -> None:
    documents = np.array([[1.0], [np.nan], [2.0]])
    ranks = exact_ranks(np.array([[1.0]]), documents, np.array([[0, 1]]))
    assert ranks.tolist() == [3]


@given(st.integers(0, 1000), st.integers(1, 12))
def test_a_reciprocal_rank_is_a_share_and_grows_with_k(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    rows = np.stack([rng.permutation(12) for _ in range(5)])
    relevant = [{int(rng.integers(0, 12))} for _ in range(5)]
    short, long = reciprocal_ranks(rows, relevant, k), reciprocal_ranks(rows, relevant)
    assert ((short <= long) & (short >= 0) & (long <= 1) & (long > 0)).all()

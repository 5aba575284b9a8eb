from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from fusionapp.domain.errors import UsageError
from fusionapp.domain.retrieval.mining import choose_negatives

ROWS = np.array([[7, 3, 5, 1, 9]])
SCORES = np.array([[0.98, 0.9, 0.8, 0.7, 0.6]])
POSITIVE = np.array([0.9])
FREE = np.zeros((1, 5), np.bool_)


def test_a_document_near_the_positives_score_is_passed_over() -> None:
    assert choose_negatives(ROWS, SCORES, POSITIVE, FREE, count=2).tolist() == [[5, 1]]
    assert choose_negatives(ROWS, SCORES, POSITIVE, FREE, count=2, most_similar=1.0).tolist() == [[3, 5]]


def test_a_document_within_the_margin_is_passed_over() -> None:
    assert choose_negatives(ROWS, SCORES, POSITIVE, FREE, count=2, margin=0.15).tolist() == [[1, 9]]


def test_forbidden_documents_are_never_taken() -> None:
    assert choose_negatives(ROWS, SCORES, POSITIVE, ROWS == 5, count=2).tolist() == [[1, 9]]


def test_the_best_are_skipped_and_forbidden_ones_do_not_count() -> None:
    forbidden = (ROWS == 7) | (ROWS == 3)
    assert choose_negatives(ROWS, SCORES, POSITIVE, forbidden, count=2, skip=1).tolist() == [[1, 9]]


def test_nothing_is_taken_from_beyond_the_depth() -> None:
    assert choose_negatives(ROWS, SCORES, POSITIVE, FREE, count=2, depth=3).tolist() == [[5, -1]]


def test_a_share_of_a_negative_score_is_no_guard() -> None:
    """0.95 of -1 is -0.95, above the positive itself."""
    scores = np.array([[-0.9, -0.97, -1.0, -1.1, -1.2]])
    assert choose_negatives(ROWS, scores, np.array([-1.0]), FREE, count=2).tolist() == [[5, 1]]


def test_queries_without_enough_documents_get_fewer() -> None:
    rows = np.array([[4, 2, -1, -1, -1]])
    scores = np.array([[0.5, 0.4, -np.inf, -np.inf, -np.inf]])
    assert choose_negatives(rows, scores, POSITIVE, FREE, count=3).tolist() == [[4, 2, -1]]


@given(
    st.integers(0, 1000),
    st.integers(1, 4),
    st.integers(0, 3),
    st.integers(1, 8),
    st.floats(0.5, 1),
    st.floats(0, 1),
)
def test_the_choice_agrees_with_a_loop(
    seed: int, count: int, skip: int, depth: int, share: float, margin: float
) -> None:
    rng = np.random.default_rng(seed)
    scores = -np.sort(-rng.normal(size=(5, 8)), axis=1)
    rows = np.stack([rng.permutation(20)[:8] for _ in range(5)])
    positives, forbidden = rng.normal(1, 1, 5), rng.random((5, 8)) < 0.3
    options = {"count": count, "skip": skip, "depth": depth}
    chosen = choose_negatives(
        rows, scores, positives, forbidden, **options, most_similar=share, margin=margin
    )
    for i in range(5):
        ranked = [j for j in range(8) if not forbidden[i, j]][skip:depth]
        limit = min(positives[i] * share if positives[i] > 0 else positives[i], positives[i] - margin)
        taken = [rows[i, j] for j in ranked if scores[i, j] <= limit][:count]
        assert chosen[i].tolist() == taken + [-1] * (count - len(taken))


def test_shapes_that_do_not_match_are_refused() -> None:
    with pytest.raises(UsageError, match=r"shapes \(\(1, 5\), \(1, 4\)"):
        choose_negatives(ROWS, SCORES[:, :4], POSITIVE, FREE, count=1)

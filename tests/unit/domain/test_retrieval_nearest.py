"""The best of many scores: a slow sort, NumPy's stable sort, and what must hold for any blocks."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from fusionapp.domain.retrieval.nearest import best_of, hit_keys, key_scores, rank_scores, ranked, score_keys

NUMBERS = st.sampled_from([-3.5, -1.0, -1e-30, -0.0, 0.0, 1e-30, 0.25, 1.0, 1e30])
SCORES = arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 25)), elements=NUMBERS)


def slowly(scores: NDArray[np.float32], k: int) -> list[list[int]]:
    return [sorted(range(len(row)), key=lambda place: (-row[place], place))[:k] for row in scores.tolist()]


@given(SCORES, st.integers(1, 30))
@settings(deadline=None)
def test_ranks_are_those_of_a_slow_sort_and_of_a_stable_one(scores: NDArray[np.float32], k: int) -> None:
    rows, values = rank_scores(scores, k)
    count = min(k, scores.shape[1])
    assert rows[:, :count].tolist() == slowly(scores, k)
    assert rows[:, :count].tolist() == np.argsort(-scores, axis=1, kind="stable")[:, :k].tolist()
    np.testing.assert_array_equal(values[:, :count], np.take_along_axis(scores, rows[:, :count], axis=1))
    assert (rows[:, count:] == -1).all()
    assert np.isneginf(values[:, count:]).all()


@given(SCORES, st.integers(1, 8), st.integers(1, 25))
@settings(deadline=None)
def test_blocks_change_nothing(scores: NDArray[np.float32], k: int, step: int) -> None:
    best = None
    for start in range(0, scores.shape[1], step):
        best = best_of(scores[:, start : start + step], k, start, best)
    assert best is not None
    for found, expected in zip(ranked(best, k), rank_scores(scores, k), strict=True):
        np.testing.assert_array_equal(found, expected)


@given(SCORES)
def test_a_key_gives_its_score_back(scores: NDArray[np.float32]) -> None:
    np.testing.assert_array_equal(key_scores(score_keys(scores, 7)), scores)


def test_hits_without_a_row_go_last() -> None:
    rows, scores = ranked(hit_keys(np.array([[5, -1, 2]]), np.array([[-9.0, 3.0, -9.0]], np.float32)), 3)
    assert rows.tolist() == [[2, 5, -1]]
    assert scores.tolist() == [[-9.0, -9.0, -np.inf]]

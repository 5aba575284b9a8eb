from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from numpy.typing import NDArray

from fusionapp.domain.errors import UsageError
from fusionapp.domain.retrieval.rank_fusion import (
    WEIGHTS,
    above_zero,
    choose_weight,
    reciprocal_rank_fusion,
    weighted_fusion,
)
from fusionapp.domain.retrieval.ranking import reciprocal_ranks

Ranking = tuple[NDArray[np.int64], NDArray[np.float64]]


def ranking(seed: int, queries: int = 5, k: int = 6, documents: int = 10) -> Ranking:
    """Distinct rows, some missing at the end, with coarse scores, so that some are equal."""
    rng = np.random.default_rng(seed)
    rows = np.stack([rng.permutation(documents)[:k] for _ in range(queries)])
    scores = -np.sort(-rng.integers(0, 8, (queries, k)) / 4, axis=1)
    missing = np.arange(k) >= rng.integers(0, k + 1, queries)[:, None]
    return np.where(missing, -1, rows), np.where(missing, -np.inf, scores)


def ordered(scores: dict[int, float], k: int) -> list[int]:
    best = sorted(scores, key=lambda row: (-round(scores[row], 12), row))[:k]
    return best + [-1] * (k - len(best))


@given(st.integers(0, 1000))
def test_documents_of_score_0_have_no_rank(seed: int) -> None:
    rows, scores = ranking(seed)
    kept = above_zero(rows, scores)
    for query in range(len(rows)):
        expected = [
            row if score > 0 else -1
            for row, score in zip(rows[query].tolist(), scores[query].tolist(), strict=True)
        ]
        assert kept[query].tolist() == expected


@given(st.integers(0, 1000), st.integers(1, 14))
def test_reciprocal_rank_fusion_agrees_with_a_loop(seed: int, k: int) -> None:
    lists = [ranking(seed * 3 + i, k=4 + i)[0] for i in range(3)]
    rows, scores = reciprocal_rank_fusion(lists, k)
    for query in range(5):
        sums: dict[int, float] = {}
        for each in lists:
            for rank, row in enumerate(each[query], 1):
                if row >= 0:
                    sums[row] = sums.get(row, 0.0) + 1 / (60 + rank)
        assert rows[query].tolist() == ordered(sums, k)
        expected = [sums[row] if row >= 0 else -np.inf for row in rows[query]]
        np.testing.assert_allclose(scores[query], expected, rtol=1e-6)


def test_reciprocal_rank_fusion_agrees_with_scipys_ranks() -> None:
    from scipy.stats import rankdata

    rng = np.random.default_rng(0)
    scores = rng.normal(size=(2, 4, 9))
    lists = list(np.argsort(-scores, axis=-1))
    fused = (1 / (60 + rankdata(-scores, axis=-1))).sum(axis=0)
    rows, found = reciprocal_rank_fusion(lists, 9)
    np.testing.assert_allclose(found, np.take_along_axis(fused, rows, axis=1), rtol=1e-6)
    assert (np.diff(found, axis=1) <= 0).all()


@given(st.integers(0, 1000))
def test_the_order_of_rankings_does_not_matter(seed: int) -> None:
    first, second = ranking(seed), ranking(seed + 5000)
    there, back = (reciprocal_rank_fusion(x, 8) for x in ([first[0], second[0]], [second[0], first[0]]))
    np.testing.assert_array_equal(there[0], back[0])
    there, back = weighted_fusion(first, second, 0.25, 8), weighted_fusion(second, first, 0.75, 8)
    np.testing.assert_array_equal(there[0], back[0])


@given(st.integers(0, 1000))
def test_fusing_a_ranking_with_itself_keeps_it(seed: int) -> None:
    rows, _ = ranking(seed)
    np.testing.assert_array_equal(reciprocal_rank_fusion([rows, rows], 6)[0], rows)


def scaled(rows: NDArray[np.int64], scores: NDArray[np.float64]) -> dict[int, float]:
    there = {int(row): float(score) for row, score in zip(rows, scores, strict=True) if row >= 0}
    if not there or max(there.values()) == min(there.values()):
        return dict.fromkeys(there, 0.0)
    low, high = min(there.values()), max(there.values())
    return {row: (score - low) / (high - low) for row, score in there.items()}


@given(st.integers(0, 1000), st.sampled_from(WEIGHTS), st.integers(1, 14))
def test_weighted_fusion_agrees_with_a_loop(seed: int, weight: float, k: int) -> None:
    first, second = ranking(seed), ranking(seed + 5000, k=4)
    rows, scores = weighted_fusion(first, second, weight, k)
    for query in range(5):
        a, b = (scaled(r[query], s[query]) for r, s in (first, second))
        sums = {row: weight * a.get(row, 0) + (1 - weight) * b.get(row, 0) for row in a | b}
        np.testing.assert_allclose(
            scores[query], [sums[row] if row >= 0 else -np.inf for row in rows[query]], rtol=1e-6, atol=1e-7
        )
        assert (rows[query] >= 0).sum() == min(k, len(sums))


def test_scaled_scores_agree_with_scikit_learn() -> None:
    from sklearn.preprocessing import minmax_scale

    scores = -np.sort(-np.random.default_rng(0).normal(size=(4, 6)), axis=1)
    rows = np.tile(np.arange(6), (4, 1))
    _, fused = weighted_fusion((rows, scores), (rows, scores), 1.0, 6)
    np.testing.assert_allclose(fused, minmax_scale(scores, axis=1), rtol=1e-6)


@given(st.integers(0, 1000), st.floats(0.1, 10), st.floats(-5, 5))
def test_a_rankings_scale_has_no_say(seed: int, scale: float, shift: float) -> None:
    first, second = ranking(seed), ranking(seed + 5000)
    moved = first[0], first[1] * scale + shift
    there, here = (weighted_fusion(x, second, 0.4, 8)[1] for x in (first, moved))
    np.testing.assert_allclose(there, here, rtol=1e-5, atol=1e-6)


def test_the_whole_weight_on_one_ranking_keeps_its_order() -> None:
    rows, scores = np.array([[3, 1, 2]]), np.array([[5.0, 4.0, 1.0]])
    other = np.array([[2, 9]]), np.array([[1.0, 0.5]])
    assert weighted_fusion((rows, scores), other, 1.0, 2)[0].tolist() == [[3, 1]]
    assert weighted_fusion((rows, scores), other, 0.0, 1)[0].tolist() == [[2]]


@settings(deadline=None)  # every weight is tried the slow way
@given(st.integers(0, 1000), st.integers(1, 6))
def test_the_chosen_weight_has_the_best_mrr_of_the_fused_rankings(seed: int, k: int) -> None:
    first, second = ranking(seed), ranking(seed + 5000)
    relevant = [{int(row)} for row in np.random.default_rng(seed).integers(0, 10, 5)]
    mrr = {
        weight: reciprocal_ranks(weighted_fusion(first, second, weight, 20)[0], relevant, k).mean()
        for weight in WEIGHTS
    }
    weight, best = choose_weight(first, second, relevant, k)
    assert best == pytest.approx(max(mrr.values()))
    assert mrr[weight] == pytest.approx(best)
    assert not any(mrr[w] >= best - 1e-12 and abs(w - 0.5) < abs(weight - 0.5) - 1e-12 for w in WEIGHTS)


def test_equally_good_weights_give_the_middle() -> None:
    same = np.array([[1, 2]]), np.array([[2.0, 1.0]])
    assert choose_weight(same, same, [{1}]) == (0.5, 1.0)


def test_no_candidates_give_empty_rankings() -> None:
    nothing = np.full((2, 3), -1), np.full((2, 3), -np.inf)
    rows, scores = weighted_fusion(nothing, nothing, 0.5, 2)
    assert rows.tolist() == [[-1, -1]] * 2
    assert scores.tolist() == [[-np.inf, -np.inf]] * 2
    assert choose_weight(nothing, nothing, [{1}, {2}]) == (0.5, 0.0)


def test_rankings_of_other_queries_are_refused() -> None:
    with pytest.raises(UsageError, match=r"rankings of \[5, 3\] queries"):
        reciprocal_rank_fusion([ranking(0)[0], ranking(1, queries=3)[0]], 4)
    with pytest.raises(UsageError, match=r"rankings of \[\] queries"):
        reciprocal_rank_fusion([], 4)


def test_a_weight_outside_0_to_1_is_refused() -> None:
    with pytest.raises(UsageError, match=r"weight 1\.5"):
        weighted_fusion(ranking(0), ranking(1), 1.5, 3)

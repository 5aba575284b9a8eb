"""One ranking out of several: by reciprocal ranks, or by weighted scores.

A ranking is document rows (queries, k), -1 where there are fewer, with scores (queries, k), best first. Fused
rankings have the same form: float32 scores, -inf where the row is -1, equal scores by ascending row.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.errors import UsageError
from fusionapp.domain.retrieval.ranking import reciprocal, relevant_hits

Rows = NDArray[np.int64]
Scores = NDArray[np.floating]
RECIPROCAL_K = 60
WEIGHTS = tuple(i / 20 for i in range(21))


def reciprocal_rank_fusion(
    rankings: Sequence[Rows], k: int, constant: int = RECIPROCAL_K
) -> tuple[Rows, NDArray[np.float32]]:
    """Rank documents by the sum of 1 / (constant + rank) over the rankings that hold them (Cormack et al. 2009).

    Args:
        rankings: rows of each ranking, no row twice for a query.
        k: how many documents to keep.
        constant: 60 in the paper; the larger, the less the first ranks stand out.

    Returns:
        Rows (queries, k) int64 and scores (queries, k) float32.

    Raises:
        UsageError: no ranking, or rankings of different numbers of queries.
    """
    gains = [
        np.broadcast_to(1.0 / (constant + 1.0 + np.arange(rows.shape[1])), rows.shape) for rows in rankings
    ]
    candidates = _candidates(rankings, gains)
    return _top(candidates.rows, candidates.gains.sum(axis=0), k)


def above_zero(rows: Rows, scores: Scores) -> Rows:
    """A ranking's rows without those that score no more than 0, which become -1.

    By words, a document that shares none with the query has no rank: its place among others of score 0 is that of
    its row, and would count in a fusion by ranks as if it were found there.
    """
    return np.where(scores > 0, rows, -1)


def weighted_fusion(
    first: tuple[Rows, Scores], second: tuple[Rows, Scores], weight: float, k: int
) -> tuple[Rows, NDArray[np.float32]]:
    """Rank documents by weight · first score + (1 - weight) · second score, each from 0 to 1 for each query.

    A ranking's scores are scaled from its lowest (0) to its highest (1); where all are equal they say nothing
    and count as 0. A document that a ranking lacks gets that ranking's lowest score.

    Args:
        first: rows and scores of one ranking.
        second: of the other.
        weight: of the first, in [0, 1].
        k: how many documents to keep.

    Returns:
        Rows (queries, k) int64 and scores (queries, k) float32.

    Raises:
        UsageError: a weight outside [0, 1], or rankings of different numbers of queries.
    """
    if not 0 <= weight <= 1:
        raise UsageError(f"weight {weight} of a score fusion is outside 0 to 1")
    candidates = _scaled(first, second)
    return _top(candidates.rows, _mixed(candidates, weight), k)


def choose_weight(
    first: tuple[Rows, Scores],
    second: tuple[Rows, Scores],
    relevant: Sequence[Collection[int]],
    k: int = 10,
    weights: Sequence[float] = WEIGHTS,
) -> tuple[float, float]:
    """The weight of `weighted_fusion` with the best MRR@k, of equally good ones the nearest to 0.5.

    Args:
        first: rows and scores of one ranking, of validation queries.
        second: of the other.
        relevant: each query's relevant document rows.
        k: rank up to which MRR counts.
        weights: those to try.

    Returns:
        The weight and its MRR@k.

    Raises:
        UsageError: rankings or relevant documents of different numbers of queries.
    """
    candidates = _scaled(first, second)
    hits = relevant_hits(candidates.rows, relevant)
    tried = []
    for weight in weights:
        ranks = _first_hits(_mixed(candidates, weight), hits, candidates.rows >= 0)
        mrr = float(reciprocal(ranks, k).mean()) if len(ranks) else 0.0
        tried.append((round(mrr, 12), -abs(weight - 0.5), -weight))
    mrr, _, lightest = max(tried)
    return -lightest, mrr


@attrs.frozen(eq=False)
class _Candidates:
    """Every document that any ranking holds.

    Attributes:
        rows: (queries, most) int64, ascending, -1 at the end where there are fewer.
        gains: (rankings, queries, most) float64, 0 where a ranking lacks the document.
    """

    rows: Rows
    gains: NDArray[np.float64]


def _candidates(rankings: Sequence[Rows], gains: Sequence[Scores]) -> _Candidates:
    if not rankings or len({len(rows) for rows in rankings}) > 1:
        sizes = [len(rows) for rows in rankings]
        raise UsageError(
            f"rank fusion: rankings of {sizes} queries; give at least one, all of the same queries"
        )
    source = np.repeat(np.arange(len(rankings)), [rows.shape[1] for rows in rankings])
    every = np.concatenate(rankings, axis=1)
    every = np.where(every < 0, np.iinfo(np.int64).max, every)
    order = np.argsort(every, axis=1, kind="stable")
    ordered = np.take_along_axis(every, order, axis=1)
    new = np.ones(ordered.shape, np.bool_)
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    place = new.cumsum(axis=1) - 1
    there = ordered < np.iinfo(np.int64).max
    query, column = np.nonzero(there)
    place, most = place[query, column], int(place[there].max(initial=-1)) + 1
    rows = np.full((len(every), most), -1, np.int64)
    rows[query, place] = ordered[query, column]
    summed = np.zeros((len(rankings), len(every), most))
    at = order[query, column]
    # No ranking holds a row twice, so that each cell is written once.
    summed[source[at], query, place] = np.concatenate(gains, axis=1)[query, at]
    return _Candidates(rows, summed)


def _scaled(first: tuple[Rows, Scores], second: tuple[Rows, Scores]) -> _Candidates:
    return _candidates([first[0], second[0]], [_min_max(*first), _min_max(*second)])


def _min_max(rows: Rows, scores: Scores) -> NDArray[np.float64]:
    there = rows >= 0
    wide = np.where(there, scores, 0.0).astype(np.float64)
    low = np.where(there, wide, np.inf).min(axis=1, keepdims=True, initial=np.inf)
    high = np.where(there, wide, -np.inf).max(axis=1, keepdims=True, initial=-np.inf)
    spread = high > low
    height = np.where(spread, high, 1.0) - np.where(spread, low, 0.0)
    scaled: NDArray[np.float64] = (wide - np.where(spread, low, 0.0)) / height
    return np.where(there & spread, scaled, 0.0)


def _mixed(candidates: _Candidates, weight: float) -> NDArray[np.float64]:
    mixed: NDArray[np.float64] = weight * candidates.gains[0] + (1 - weight) * candidates.gains[1]
    return mixed


def _top(rows: Rows, scores: NDArray[np.float64], k: int) -> tuple[Rows, NDArray[np.float32]]:
    """The k best candidates; those of equal score stay by ascending row."""
    scores = np.where(rows >= 0, scores, -np.inf)
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    short = ((0, 0), (0, max(0, k - rows.shape[1])))
    top_rows = np.pad(np.take_along_axis(rows, best, axis=1), short, constant_values=-1)
    top = np.pad(np.take_along_axis(scores, best, axis=1), short, constant_values=-np.inf)
    return top_rows, top.astype(np.float32)


def _first_hits(scores: NDArray[np.float64], hits: NDArray[np.bool_], there: NDArray[np.bool_]) -> Rows:
    """`first_relevant_rank` of the candidates ordered as `_top` would, without ordering them."""
    if not hits.size:
        return np.zeros(len(scores), np.int64)
    first = np.where(hits, scores, -np.inf).argmax(axis=1)[:, None]
    own = np.take_along_axis(scores, first, axis=1)
    ahead = (scores > own) | ((scores == own) & (np.arange(scores.shape[1]) < first))
    return np.where(hits.any(axis=1), 1 + (ahead & there).sum(axis=1), 0)

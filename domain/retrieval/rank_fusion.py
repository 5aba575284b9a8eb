"""Making one ranking of two: by ranks, or by weighted scores.

A ranking is a pair (rows, scores): (queries, k) int64 document rows, best first, -1 where there are fewer, and
their float32 scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.retrieval.ranking import relevance

Ranked: TypeAlias = tuple[NDArray[np.int64], NDArray[np.float32]]

RANK_CONSTANT = 60
"""k of reciprocal rank fusion, as its authors set it (Cormack, Clarke and Büttcher 2009)."""

WEIGHTS = tuple(step / 20 for step in range(21))
"""What `choose_weight` tries."""


def reciprocal_rank_fusion(rankings: Sequence[Ranked]) -> Ranked:
    """Documents by the sum over rankings of 1 / (60 + rank); one that a ranking lacks gets nothing from it.

    Returns:
        As many columns as the longest ranking; equal sums stand by ascending row.
    """
    depth = max(rows.shape[1] for rows, _ in rankings)
    shares = [
        np.broadcast_to(1.0 / (RANK_CONSTANT + 1 + np.arange(rows.shape[1])), rows.shape)
        for rows, _ in rankings
    ]
    documents, aligned = _align([rows for rows, _ in rankings], shares)
    return _best(documents, aligned.sum(axis=0), depth)


def weighted_score_fusion(first: Ranked, second: Ranked, weight: float) -> Ranked:
    """Documents by weight * first + (1 - weight) * second, each query's scores scaled to [0, 1] within a ranking.

    The least score of a query's ranking becomes 0 and its greatest 1 (min-max, Fox and Shaw 1994); a document that
    a ranking lacks counts as its least.

    Args:
        first: one ranking.
        second: the other.
        weight: of the first, in [0, 1].

    Returns:
        As many columns as the longer ranking; equal scores stand by ascending row.
    """
    documents, aligned = _align([first[0], second[0]], [_scaled(*first), _scaled(*second)])
    depth = max(first[0].shape[1], second[0].shape[1])
    return _best(documents, weight * aligned[0] + (1.0 - weight) * aligned[1], depth)


def choose_weight(first: Ranked, second: Ranked, relevant: Sequence[Mapping[int, int]]) -> float:
    """The weight of the first ranking, of 0, .05, ... 1, with the best MRR@10; of equals the one nearest to .5.

    Args:
        first: one ranking of queries that are not judged by.
        second: the other.
        relevant: of each query, the rows of its relevant documents and their grades.
    """
    documents, (mine, other) = _align([first[0], second[0]], [_scaled(*first), _scaled(*second)])
    wanted = relevance(documents, relevant)
    scores = {weight: _mrr(weight * mine + (1.0 - weight) * other, documents, wanted) for weight in WEIGHTS}
    return max(WEIGHTS, key=lambda weight: (round(scores[weight], 12), -abs(weight - 0.5)))


def _mrr(
    values: NDArray[np.float64], documents: NDArray[np.int64], wanted: NDArray[np.bool_], k: int = 10
) -> float:
    """MRR@k without sorting: a document's rank is 1 and one for each that stands before it."""
    found = np.where(wanted, values, -np.inf)
    best = found.argmax(axis=1)[:, None]  # of equals the first, which has the lowest row
    value = np.take_along_axis(found, best, axis=1)
    there = documents >= 0
    before = (values > value) | ((values == value) & (np.arange(values.shape[1]) < best))
    ranks = 1 + (before & there).sum(axis=1)
    counted = wanted.any(axis=1) & (ranks <= 10)
    return float(np.where(counted, 1.0 / ranks, 0.0).mean())


def _scaled(rows: NDArray[np.int64], scores: NDArray[np.float32]) -> NDArray[np.float64]:
    """(queries, k) in [0, 1]; 1 everywhere where all of a query's scores are one."""
    there = rows >= 0
    values = np.where(there, scores, 0.0).astype(np.float64)
    low = np.where(there, values, np.inf).min(axis=1, keepdims=True, initial=np.inf)
    high = np.where(there, values, -np.inf).max(axis=1, keepdims=True, initial=-np.inf)
    spread = np.where(high > low, high - low, 1.0)
    scaled = np.where(high > low, (values - np.where(there, low, 0.0)) / spread, 1.0)
    return np.where(there, scaled, 0.0)


def _align(
    rows: Sequence[NDArray[np.int64]], shares: Sequence[NDArray[np.float64]]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """What each document that any ranking holds gets from each of them.

    Returns:
        (queries, any) document rows, ascending, -1 after the last, and (rankings, queries, any) shares, 0 where a
        ranking lacks the document.
    """
    documents = np.concatenate(rows, axis=1)
    order = np.argsort(documents, axis=1, kind="stable")
    ascending = np.take_along_axis(documents, order, axis=1)
    new = np.diff(ascending, axis=1, prepend=-1) != 0
    places = np.empty_like(documents)
    np.put_along_axis(places, order, new.cumsum(axis=1) - 1, axis=1)
    width = max(1, int(places.max(initial=-1)) + 1)
    union = np.full((len(documents), width), -1, dtype=np.int64)
    aligned = np.zeros((len(rows), len(documents), width))
    start = 0
    for ranking, (own, share) in enumerate(zip(rows, shares, strict=True)):
        queries, columns = np.nonzero(own >= 0)
        place = places[queries, columns + start]
        union[queries, place] = own[queries, columns]
        aligned[ranking, queries, place] = share[queries, columns]
        start += own.shape[1]
    return union, aligned


def _best(documents: NDArray[np.int64], values: NDArray[np.float64], depth: int) -> Ranked:
    """The best documents, equal ones by ascending row."""
    ranked = np.where(documents >= 0, values, -np.inf)
    best = np.argsort(-ranked, axis=1, kind="stable")[:, :depth]
    missing = ((0, 0), (0, depth - best.shape[1]))
    rows = np.pad(np.take_along_axis(documents, best, axis=1), missing, constant_values=-1)
    scores = np.pad(np.take_along_axis(ranked, best, axis=1), missing, constant_values=-np.inf)
    return rows, scores.astype(np.float32)

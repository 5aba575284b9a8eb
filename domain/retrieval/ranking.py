"""Where the first relevant document of each query stands, and its reciprocal (Voorhees 1999)."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.errors import UsageError

_CELLS_AT_ONCE = 8_000_000  # scores held at a time: 32 MB, whatever the queries and documents


def relevant_hits(rows: NDArray[np.int64], relevant: Sequence[Collection[int]]) -> NDArray[np.bool_]:
    """Which ranked documents are relevant.

    Args:
        rows: (queries, k) document rows; -1 where there are fewer.
        relevant: each query's relevant document rows; the keys of a mapping from rows to grades do.

    Raises:
        UsageError: another number of queries.
    """
    if len(relevant) != len(rows):
        raise UsageError(f"rankings of {len(rows)} queries, but relevant documents of {len(relevant)}")
    sizes = np.array([len(of) for of in relevant], np.int64)
    known = np.fromiter((row for of in relevant for row in of), np.int64, int(sizes.sum()))
    width = int(max(rows.max(initial=0), known.max(initial=0))) + 1
    keys = known + np.repeat(np.arange(len(rows)), sizes) * width
    found: NDArray[np.bool_] = np.isin(rows + np.arange(len(rows))[:, None] * width, keys) & (rows >= 0)
    return found


def first_relevant_rank(rows: NDArray[np.int64], relevant: Sequence[Collection[int]]) -> NDArray[np.int64]:
    """(queries,) int64: the rank, from 1, of the best-ranked relevant document; 0 where there is none."""
    hits = relevant_hits(rows, relevant)
    first: NDArray[np.int64] = (
        np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, 0)
        if hits.size
        else (np.zeros(len(rows), np.int64))
    )
    return first


def reciprocal(ranks: NDArray[np.int64], k: int | None = None) -> NDArray[np.float64]:
    """1 / rank of each query (queries,); 0 for rank 0, and beyond rank k where k is given."""
    counts = (ranks > 0) & (ranks <= (k if k is not None else np.iinfo(np.int64).max))
    return np.divide(1.0, ranks, out=np.zeros(len(ranks)), where=counts)


def reciprocal_ranks(
    rows: NDArray[np.int64], relevant: Sequence[Collection[int]], k: int | None = None
) -> NDArray[np.float64]:
    """(queries,) float64 in [0, 1]: `reciprocal` of `first_relevant_rank`; their mean is MRR@k."""
    return reciprocal(first_relevant_rank(rows, relevant), k)


def exact_ranks(
    queries: NDArray[np.floating], documents: NDArray[np.floating], pairs: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The rank of the best relevant document among all, by inner product, without sorting any ranking.

    Args:
        queries: (queries, dim).
        documents: (documents, dim).
        pairs: (pairs, 2) int64: query row, relevant document row.

    Returns:
        (queries,) int64: 1 + how many documents score higher, or the same at a lower row; 0 for a query
        without a relevant document. A score that is not a number ranks last.
    """
    ranks = np.zeros(len(queries), np.int64)
    ordered = pairs[np.argsort(pairs[:, 0], kind="stable")]
    block = max(1, _CELLS_AT_ONCE // max(1, len(documents)))
    for start in range(0, len(queries), block):
        stop = min(start + block, len(queries))
        scores = queries[start:stop] @ documents.T
        scores[np.isnan(scores)] = -np.inf
        low, high = np.searchsorted(ordered[:, 0], [start, stop])
        asked, found = ordered[low:high, 0] - start, ordered[low:high, 1]
        ranks[start:stop] = _best_ranks(scores, asked, found)
    return ranks


def _best_ranks(
    scores: NDArray[np.floating], asked: NDArray[np.int64], found: NDArray[np.int64]
) -> NDArray[np.int64]:
    """`exact_ranks` of a block: (block, documents) scores, and the pairs in it as query and document."""
    ranks = np.zeros(len(scores), np.int64)
    if not len(asked):
        return ranks
    best_first = np.lexsort((found, -scores[asked, found], asked))
    query, first = np.unique(asked[best_first], return_index=True)
    document = found[best_first][first]
    own, all_of = scores[query, document][:, None], scores[query]
    tied = (all_of == own) & (np.arange(scores.shape[1]) < document[:, None])
    ranks[query] = 1 + ((all_of > own) | tied).sum(axis=1)
    return ranks

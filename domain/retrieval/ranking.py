"""Where the first relevant document of each query stands in a ranking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


def relevance(rows: Rows, relevant: Sequence[Mapping[int, int]]) -> NDArray[np.bool_]:
    """Which ranked documents are relevant.

    Args:
        rows: (queries, k) document rows, best first; -1 where there is none.
        relevant: of each query, the rows of its relevant documents and their grades.

    Returns:
        (queries, k) bool.
    """
    width = (
        max(int(rows.max(initial=-1)), max((max(known, default=-1) for known in relevant), default=-1)) + 1
    )
    wanted = np.array(
        [query * width + row for query, known in enumerate(relevant) for row in known], dtype=np.int64
    )
    codes = np.arange(len(rows), dtype=np.int64)[:, None] * width + rows
    return (rows >= 0) & np.isin(codes, wanted)


def first_relevant_ranks(rows: Rows, relevant: Sequence[Mapping[int, int]]) -> Rows:
    """(queries,) rank of the first relevant document, counted from 1; 0 where none is among the ranked."""
    hits = relevance(rows, relevant)
    return np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, 0).astype(np.int64)


def reciprocal_ranks(rows: Rows, relevant: Sequence[Mapping[int, int]], k: int) -> NDArray[np.float64]:
    """1 / rank of the first relevant document among the k best, else 0; their mean is MRR@k (Voorhees 1999).

    Args:
        rows: (queries, any) document rows, best first; -1 where there is none.
        relevant: of each query, the rows of its relevant documents and their grades.
        k: how many of each ranking count, at least 1.

    Returns:
        (queries,) in [0, 1].
    """
    ranks = first_relevant_ranks(rows[:, :k], relevant)
    return np.divide(1.0, ranks, out=np.zeros(len(ranks)), where=ranks > 0)

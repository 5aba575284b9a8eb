"""Choosing hard negatives from a ranking: near the top, and clearly below the pair's own document."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


def choose_negatives(
    rows: Rows,
    scores: NDArray[np.float32],
    positives: NDArray[np.float32],
    forbidden: NDArray[np.bool_],
    *,
    skip: int,
    depth: int,
    most_similar: float,
    margin: float,
    count: int,
) -> Rows:
    """The best-ranked candidates of each query that may be negatives.

    A candidate of more than `most_similar` times the positive's score may well be relevant without being known as
    such, and is passed over (TopK-PercPos of Moreira et al. 2024); where the positive's score is not above 0, a
    share of it says nothing and the margin alone holds.

    Args:
        rows: (queries, k) ranked document rows, best first; -1 where there are fewer.
        scores: (queries, k) their similarities.
        positives: (queries,) the similarity of each query's own document.
        forbidden: (queries, k) True where a candidate is known to be no negative.
        skip: how many of the best-ranked candidates are never taken; forbidden ones count.
        depth: how many candidates after those are looked at.
        most_similar: greatest score of a negative, as a share of the positive's.
        margin: how far below the positive's score a negative's must be, at least.
        count: how many are taken at most.

    Returns:
        (queries, count) int64 document rows in the order of rank; -1 after the last one found.
    """
    window = np.arange(rows.shape[1])
    ceiling = positives[:, None] - margin
    shared = np.where(positives > 0, positives * most_similar, np.inf)[:, None]
    usable = (
        (rows >= 0)
        & ~forbidden
        & (scores <= ceiling)
        & (scores <= shared)
        & (window >= skip)
        & (window < skip + depth)
    )
    # A stable sort of "not usable" brings the usable ones to the front without changing their order.
    order = np.argsort(~usable, axis=1, kind="stable")[:, :count]
    found = np.take_along_axis(np.where(usable, rows, -1), order, axis=1)
    missing = count - found.shape[1]
    return np.pad(found, ((0, 0), (0, max(0, missing))), constant_values=-1).astype(np.int64)

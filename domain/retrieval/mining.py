"""Choosing hard negatives from the rankings of an encoder."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.errors import UsageError


def choose_negatives(
    rows: NDArray[np.int64],
    scores: NDArray[np.floating],
    positive_scores: NDArray[np.floating],
    forbidden: NDArray[np.bool_],
    *,
    count: int,
    skip: int = 0,
    depth: int | None = None,
    most_similar: float = 0.95,
    margin: float = 0.0,
) -> NDArray[np.int64]:
    """The best-ranked documents of each query that look wrong rather than right.

    A document that scores near the positive, or above it, is too often an answer that nobody marked. It is
    taken only at or below `most_similar` times the positive's score (TopK-PercPos, Moreira et al. 2024), where
    that score is above 0 and a share of it means something, and at or below the score less `margin`.

    Args:
        rows: (queries, k) ranked document rows, best first; -1 where there are fewer.
        scores: (queries, k) their scores.
        positive_scores: (queries,) score of the query's own document; the lowest, where it has several.
        forbidden: (queries, k) True where the document is known to be no negative: relevant, a duplicate.
        count: negatives for each query.
        skip: best-ranked documents that are never taken; forbidden ones do not count as ranked.
        depth: documents that are looked at, the skipped ones included; None looks at all.
        most_similar: share of the positive's score.
        margin: least distance from the positive's score.

    Returns:
        (queries, count) int64 document rows, best first; -1 where fewer qualify.

    Raises:
        UsageError: shapes that do not match.
    """
    shapes = rows.shape, scores.shape, forbidden.shape, positive_scores.shape
    if len(set(shapes[:3])) > 1 or rows.ndim != 2 or shapes[3] != rows.shape[:1]:
        raise UsageError(
            f"mining: rows, scores, forbidden and positive scores have shapes {shapes}; give the first three "
            "(queries, k) and the last (queries,)"
        )
    candidate = (rows >= 0) & ~forbidden
    rank = candidate.cumsum(axis=1) - 1
    positive = positive_scores[:, None].astype(np.float64)
    limit = np.minimum(np.where(positive > 0, positive * most_similar, positive), positive - margin)
    eligible = candidate & (rank >= skip) & (scores <= limit)
    if depth is not None:
        eligible &= rank < depth
    place = eligible.cumsum(axis=1) - 1
    query, column = np.nonzero(eligible & (place < count))
    chosen = np.full((len(rows), count), -1, np.int64)
    chosen[query, place[query, column]] = rows[query, column]
    return chosen

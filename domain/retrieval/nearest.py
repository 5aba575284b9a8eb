"""Keeping the best of many scores, exactly and with ties in a fixed order, a block of rows at a time.

A score and its row become one 64-bit integer, the score in the upper half and the row, counted down, in the lower.
Integers then order as (score falling, row rising), no two are equal, and one partition of them selects and breaks
ties at once; a partition of the scores alone leaves it to chance which of several equal ones it keeps.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.int64]
"""(queries, any) int64, each a score with its row; see `score_keys`."""

NOTHING = np.iinfo(np.int64).min
"""A key below that of every score: no row."""

MOST_ROWS = 2**32 - 1
"""How many rows a key can tell apart."""

_LOW = np.int64(0xFFFFFFFF)
_MAGNITUDE = np.int32(0x7FFFFFFF)


def score_keys(scores: NDArray[np.float32], rows: NDArray[np.int64] | int) -> Keys:
    """Keys that order as (score falling, row rising) when they themselves fall.

    Args:
        scores: (queries, columns) float32 without NaN.
        rows: the columns' rows, broadcast over scores, or the row of the first of consecutive ones.
    """
    if isinstance(rows, int):
        rows = np.arange(rows, rows + scores.shape[-1], dtype=np.int64)
    # Adding zero makes one number of -0.0 and 0.0. Negative floats' bits order as integers once their
    # magnitude is flipped.
    bits = (scores + np.float32(0.0)).view(np.int32)
    bits = bits ^ ((bits >> np.int32(31)) & _MAGNITUDE)
    return (bits.astype(np.int64) << np.int64(32)) | (_LOW - rows)


def hit_keys(rows: NDArray[np.int64], scores: NDArray[np.float32]) -> Keys:
    """Keys of hits (queries, any) that another search found; `NOTHING` where the row is negative."""
    found = rows >= 0
    return np.where(found, score_keys(np.where(found, scores, np.float32(0.0)), rows), NOTHING)


def best_keys(keys: Keys, k: int) -> Keys:
    """The k greatest of each query's keys in any order, or all where there are fewer."""
    columns = keys.shape[1]
    return keys if columns <= k else np.partition(keys, columns - k, axis=1)[:, columns - k :]


def best_of(scores: NDArray[np.float32], k: int, first_row: int = 0, best: Keys | None = None) -> Keys:
    """The k best of a block of consecutive rows and of what is best so far, in any order.

    Where k rows are known already, only scores above the least of these are looked at again: later rows lose ties.

    Args:
        scores: (queries, rows) float32 without NaN.
        k: at least 1.
        first_row: of the block; blocks come in ascending order.
        best: what the blocks before gave.
    """
    if best is None or best.shape[1] < k:
        mine = best_keys(score_keys(scores, first_row), k)
        return mine if best is None else best_keys(np.concatenate([best, mine], axis=1), k)
    least = best.min(axis=1)
    queries, columns = np.nonzero(scores > key_scores(least)[:, None])
    counts = np.bincount(queries, minlength=len(scores))
    most = int(counts.max(initial=0))
    if not most:
        return best
    added = np.full((len(scores), most), NOTHING, dtype=np.int64)
    places = np.arange(len(queries)) - (np.cumsum(counts) - counts)[queries]
    added[queries, places] = score_keys(scores[queries, columns][:, None], (columns + first_row)[:, None])[
        :, 0
    ]
    return best_keys(np.concatenate([best, added], axis=1), k)


def key_scores(keys: Keys) -> NDArray[np.float32]:
    """The scores in keys; -inf for `NOTHING`."""
    bits = (keys >> np.int64(32)).astype(np.int32)
    bits = bits ^ ((bits >> np.int32(31)) & _MAGNITUDE)
    scores = bits.view(np.float32)
    return np.where(keys == NOTHING, np.float32(-np.inf), scores)


def ranked(keys: Keys, k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The k best of each query's keys as rows and scores, best first.

    Returns:
        (queries, k) int64, -1 where there are fewer than k, and (queries, k) float32, -inf there.
    """
    kept = np.sort(best_keys(keys, k), axis=1)[:, ::-1]
    rows = np.full((len(keys), k), -1, dtype=np.int64)
    scores = np.full((len(keys), k), -np.inf, dtype=np.float32)
    rows[:, : kept.shape[1]] = np.where(kept == NOTHING, -1, _LOW - (kept & _LOW))
    scores[:, : kept.shape[1]] = key_scores(kept)
    return rows, scores


def rank_scores(scores: NDArray[np.float32], k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """`ranked` for scores (queries, rows) that are all there."""
    return ranked(best_of(scores, k), k)

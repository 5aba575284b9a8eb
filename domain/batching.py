"""Cutting a job into batches that waste little padding and fit a token budget."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def token_batches(lengths: ArrayLike, budget: int) -> list[NDArray[np.int64]]:
    """Group texts of like length so that no batch, padding included, holds more than `budget` tokens.

    Texts are ordered by length, longest first (memory peaks in the first batch, and a progress estimate errs
    on the slow side), equal lengths in input order. The cut depends on these lengths and the budget alone, so
    the same shard is computed in the same batches whenever it is computed.

    Args:
        lengths: (texts,) integers, tokens in each text.
        budget: most tokens in a batch, rows times the longest row; a text longer than that stands alone.

    Returns:
        Positions into `lengths`, int64, one array a batch; together every position once.
    """
    sizes = np.asarray(lengths, dtype=np.int64)
    order = _longest_first(sizes)
    batches = []
    start = 0
    while start < len(order):
        rows = max(1, budget // max(1, int(sizes[order[start]])))
        batches.append(order[start : start + rows])
        start += rows
    return batches


def token_packs(lengths: ArrayLike, budget: int) -> list[NDArray[np.int64]]:
    """Group texts so that no group holds more than `budget` tokens laid end to end, without padding.

    Arguments, order and result are those of `token_batches`.
    """
    sizes = np.asarray(lengths, dtype=np.int64)
    order = _longest_first(sizes)
    ends = sizes[order].cumsum()
    packs = []
    start = 0
    while start < len(order):
        before = int(ends[start] - sizes[order[start]])
        stop = max(start + 1, int(np.searchsorted(ends, before + budget, side="right")))
        packs.append(order[start:stop])
        start = stop
    return packs


def _longest_first(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.argsort(-sizes, kind="stable")

"""Vectors on their way into an index, and queries on their way to one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.errors import UsageError
from fusionapp.domain.retrieval.nearest import MOST_ROWS


def checked_parts(vectors: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    """Parts of (rows, dim) float32, contiguous, without the empty ones.

    Raises:
        UsageError: a part is not two-dimensional, has another dim than the first, or a number that is not finite,
            there is no vector at all, or there are more than an index can number.
    """
    start, dim = 0, 0
    for given in vectors:
        part = np.ascontiguousarray(given, dtype=np.float32)
        if part.ndim != 2 or part.shape[1] == 0:
            raise UsageError(f"index: expected vectors (rows, dim), got an array of shape {part.shape}")
        dim = dim or part.shape[1]
        if part.shape[1] != dim:
            raise UsageError(
                f"index: vectors from row {start} on have {part.shape[1]} numbers, and those before {dim}; "
                "an index takes the vectors of one encoder"
            )
        if not np.isfinite(part).all():
            row = start + int(np.flatnonzero(~np.isfinite(part).all(axis=1))[0])
            raise UsageError(
                f"index: the vector of row {row} has a number that is not finite; leave the row out"
            )
        start += len(part)
        if start > MOST_ROWS:
            raise UsageError(f"index: more than {MOST_ROWS} vectors; build several indexes")
        if len(part):
            yield part
    if not start:
        raise UsageError("index: there are no vectors; give at least one")


def checked_queries(queries: NDArray[np.float32], dim: int, k: int) -> NDArray[np.float32]:
    """Queries as contiguous float32.

    Raises:
        UsageError: they are not (queries, dim), one has a number that is not finite, or k is less than 1.
    """
    if k < 1:
        raise UsageError(f"search: k {k} is less than 1; ask for at least one hit")
    array = np.ascontiguousarray(queries, dtype=np.float32)
    if array.ndim != 2 or array.shape[1] != dim:
        raise UsageError(
            f"search: queries of shape {array.shape} against an index of {dim} numbers a vector; "
            "encode queries as the index's documents were encoded"
        )
    if not np.isfinite(array).all():
        row = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
        raise UsageError(f"search: query {row} (counted from 0) has a number that is not finite")
    return array

"""Which rows repeat an earlier row's text, in 24 bytes a row."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray


def first_rows(texts: Iterable[str], rows: int) -> NDArray[np.int64] | None:
    """The first row that holds each row's text.

    Texts are compared by 128 bits of BLAKE2b: two different ones agree with a chance below 1e-22 among 10⁸.

    Args:
        texts: in row order, read once.
        rows: how many there are.

    Returns:
        (rows,) int64, at most the row itself; None where no text stands twice.
    """
    hashes = np.empty((rows, 2), dtype=np.uint64)
    for row, text in enumerate(texts):
        digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        hashes[row] = np.frombuffer(digest, dtype=np.uint64)
    order = np.lexsort((hashes[:, 1], hashes[:, 0]))  # stable: equal hashes stay in row order
    again = np.zeros(rows, dtype=np.bool_)
    again[1:] = (hashes[order[1:]] == hashes[order[:-1]]).all(axis=1)
    if not again.any():
        return None
    first = np.empty(rows, dtype=np.int64)
    first[order] = order[np.maximum.accumulate(np.where(again, 0, np.arange(rows)))]
    return first

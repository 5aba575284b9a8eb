"""Vectors in fewer bytes: a byte, or a bit, for each number."""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.errors import UsageError

_CELLS_AT_ONCE = 8_000_000  # distances held at a time


@attrs.frozen(eq=False)
class ByteScale:
    """The span of each dimension over some documents, cut into 255 steps.

    Attributes:
        low: (dim,) float32, which code -128 stands for.
        step: (dim,) float32; 0 for a dimension that never changes.
    """

    low: NDArray[np.float32]
    step: NDArray[np.float32]

    @classmethod
    def of(cls, documents: NDArray[np.floating]) -> ByteScale:
        """The scale of (documents, dim) vectors.

        Raises:
            UsageError: no documents.
        """
        if not len(documents):
            raise UsageError("int8 vectors: no documents to take the limits from")
        low, high = documents.min(axis=0), documents.max(axis=0)
        return cls(low.astype(np.float32), ((high - low) / 255).astype(np.float32))

    def encode(self, vectors: NDArray[np.floating]) -> NDArray[np.int8]:
        """(rows, dim) int8: the nearest step; what lies outside the documents' span is cut to it."""
        step = np.where(self.step > 0, self.step, 1)
        codes: NDArray[np.int8] = np.clip(np.rint((vectors - self.low) / step) - 128, -128, 127).astype(
            np.int8
        )
        return codes

    def decode(self, codes: NDArray[np.int8]) -> NDArray[np.float32]:
        """(rows, dim) float32, at most half a step from what was encoded, where that lay inside the span."""
        decoded: NDArray[np.float32] = (codes.astype(np.float32) + 128) * self.step + self.low
        return decoded


def signs(vectors: NDArray[np.floating]) -> NDArray[np.uint8]:
    """(rows, ceil(dim / 8)) uint8: one bit a number, 1 where it is above 0, the first in the highest bit."""
    return np.packbits(vectors > 0, axis=-1)


def hamming(queries: NDArray[np.uint8], documents: NDArray[np.uint8]) -> NDArray[np.int32]:
    """How many bits differ between each two codes of `signs`.

    Args:
        queries: (queries, bytes).
        documents: (documents, bytes).

    Returns:
        (queries, documents) int32.
    """
    first, second = _words(queries), _words(documents)
    distances = np.zeros((len(first), len(second)), np.int32)
    for word in range(first.shape[1]):
        distances += np.bitwise_count(first[:, word, None] ^ second[None, :, word])
    return distances


def search_signs(
    queries: NDArray[np.floating], codes: NDArray[np.uint8], k: int, oversample: int = 4
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The k best documents by their signs alone.

    The `oversample` · k nearest codes by Hamming distance are rescored by the query's own numbers against the
    documents' signs, +1 and -1 (Yamada et al. 2021), which the codes hold whole.

    Args:
        queries: (queries, dim).
        codes: (documents, ceil(dim / 8)) of `signs`.
        k: how many, at most the documents.
        oversample: at least 1.

    Returns:
        Rows (queries, k) int64 and scores (queries, k) float32, equal scores by ascending row.

    Raises:
        UsageError: codes of another dim, or k outside 1 to the number of documents.
    """
    dim = queries.shape[1]
    if codes.shape[1] != (dim + 7) // 8:
        raise UsageError(
            f"queries of {dim} numbers, but codes of {codes.shape[1]} bytes, not {(dim + 7) // 8}"
        )
    if not 1 <= k <= len(codes):
        raise UsageError(f"k = {k} of {len(codes)} documents; use 1 to {len(codes)}")
    near = min(len(codes), k * oversample)
    rows, scores = np.empty((len(queries), k), np.int64), np.empty((len(queries), k), np.float32)
    block = max(1, _CELLS_AT_ONCE // max(len(codes), near * dim))
    for start in range(0, len(queries), block):
        part = queries[start : start + block]
        distances = hamming(signs(part), codes)
        close = np.sort(np.argsort(distances, axis=1, kind="stable")[:, :near], axis=1)
        documents = np.unpackbits(codes[close], axis=-1, count=dim).astype(np.float32) * 2 - 1
        rescored = np.einsum("qd,qnd->qn", part, documents)
        best = np.argsort(-rescored, axis=1, kind="stable")[:, :k]
        rows[start : start + block] = np.take_along_axis(close, best, axis=1)
        scores[start : start + block] = np.take_along_axis(rescored, best, axis=1)
    return rows, scores


def _words(codes: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Bytes as words of eight, the last one filled up with zeros."""
    padded = np.pad(codes, ((0, 0), (0, -codes.shape[1] % 8)))
    return np.ascontiguousarray(padded).view(np.uint64)

"""Hashed n-grams of bytes and of words, quick enough for a hundred thousand prompts a second.

Feature hashing (Weinberger et al. 2009) without a dictionary and without counting: an n-gram that stands twice in
a text has two cells, which a product with a matrix adds up. Counting would take longer than all the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from fusionapp.domain.span_hashes import BASE, hash_spans

BUCKETS = 2**18
BYTE_SIZES = (4,)
_BITS = 32 - 18
_SPREAD = 0x9E3779B1
_WORD_BYTES = np.array([chr(b).isalnum() or b >= 128 or b == ord("'") for b in range(256)])
_SPACE = b" "


def hash_ngrams(texts: Sequence[str]) -> list[csr_array]:
    """(texts, `BUCKETS`) float32 for each kind of n-gram, a cell of 1 for each n-gram; they are to be added up.

    N-grams are of `BYTE_SIZES` bytes of the lower-cased UTF-8 text between two spaces, and of one and two words.
    """
    whole = [_SPACE + text.lower().encode("utf-8", "surrogatepass") + _SPACE for text in texts]
    codes = np.frombuffer(b"".join(whole), dtype=np.uint8)
    ends = np.cumsum(np.fromiter(map(len, whole), np.int64, len(whole)))
    kinds = [_byte_ngrams(codes, ends, size) for size in BYTE_SIZES] + _word_ngrams(codes, ends)
    rows = []
    for counts, buckets in kinds:
        starts = np.zeros(len(texts) + 1, dtype=np.int32)
        np.cumsum(counts, out=starts[1:])
        cells = np.ones(len(buckets), dtype=np.float32)
        rows.append(csr_array((cells, buckets, starts), shape=(len(texts), BUCKETS)))
    return rows


def _byte_ngrams(
    codes: NDArray[np.uint8], ends: NDArray[np.int64], size: int
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """How many each text has, and their buckets in the order of texts."""
    lengths = np.diff(ends, prepend=0)
    counts = np.maximum(lengths - size + 1, 0)
    windows = max(0, len(codes) - size + 1)
    wide = codes.astype(np.uint32)
    rolled = np.full(windows, size, dtype=np.uint32)
    for place in range(size):
        rolled *= np.uint32(BASE)
        rolled += wide[place : place + windows]
    inside = np.ones(windows, dtype=bool)
    for back in range(1, size):
        # Windows that begin in one text and end in the next.
        across = ends[:-1] - back
        inside[across[(across >= 0) & (across < windows)]] = False
    return counts, _buckets(rolled[inside])


def _word_ngrams(
    codes: NDArray[np.uint8], ends: NDArray[np.int64]
) -> list[tuple[NDArray[np.int64], NDArray[np.int32]]]:
    """Words and pairs of neighbouring words, as `_byte_ngrams`. Texts begin and end with a space."""
    in_word = _WORD_BYTES[codes]
    edges = np.flatnonzero(in_word[1:] != in_word[:-1]) + 1
    starts, stops = edges[::2], edges[1::2]
    words = hash_spans(codes).between(starts, stops)
    words *= np.uint32(_SPREAD)
    pairs = (words[:-1] ^ (words[:-1] >> np.uint32(15))) * np.uint32(BASE) + words[1:]
    upto = np.searchsorted(starts, ends)
    counts = np.diff(upto, prepend=0)
    same = np.ones(len(pairs), dtype=bool)
    # Pairs of a text's last word and the next text's first.
    same[upto[(upto > 0) & (upto <= len(pairs))] - 1] = False
    return [
        (counts, _buckets(words ^ np.uint32(0x5BD1E995))),
        (np.maximum(counts - 1, 0), _buckets(pairs[same])),
    ]


def _buckets(hashes: NDArray[np.uint32]) -> NDArray[np.int32]:
    """The highest bits of a multiplicative hash (Knuth), which depend on all bits below."""
    mixed = (hashes ^ (hashes >> np.uint32(16))) * np.uint32(_SPREAD)
    return (mixed >> np.uint32(_BITS)).astype(np.int32)

"""Hashed n-grams of words and of characters, for a whole batch of texts in a few array operations.

Feature hashing (Weinberger et al. 2009), without a dictionary. A polynomial hash with prefix sums gives the
hash of any span of characters in constant time, so no n-gram is ever cut out as a string.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import TypeAlias

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.span_hashes import SpanHashes

Hashes: TypeAlias = NDArray[np.uint64]

VERSION = 1
"""Of the hashing scheme; a change to anything below is another scheme."""

_BASE = 0x9E3779B97F4A7C15  # odd, hence invertible
_WORD_SALT, _CHARACTER_SALT = 0x57F3A1C9, 0xC2B2AE3D
_SPACE = ord(" ")

_WORD = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]+")
"""Letters and digits with inner apostrophes, or a run of signs: ``don't``, ``!!``, an emoji."""


@attrs.frozen(eq=False)
class NGrams:
    """Every n-gram of a batch, repetitions included.

    Attributes:
        rows: (n-grams,) int64, which text each one is of.
        hashes: (n-grams,) uint64.
    """

    rows: NDArray[np.int64]
    hashes: Hashes


def normalise(text: str) -> str:
    """Unicode NFKC, lower case, one space between words and one at each end."""
    return f" {' '.join(unicodedata.normalize('NFKC', text).lower().split())} "


def find_ngrams(texts: Sequence[str], word_ngrams: tuple[int, int], char_ngrams: tuple[int, int]) -> NGrams:
    """Hash the n-grams of normalised texts.

    Args:
        texts: what `normalise` returns.
        word_ngrams: shortest and longest run of words.
        char_ngrams: shortest and longest run of characters, within a word and the spaces beside it.
    """
    joined = "".join(texts)
    points = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    ends = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)))
    spans = SpanHashes.of(_mix(points.astype(np.uint64)), _BASE)
    found = [
        *_word_ngrams(spans, joined, ends, word_ngrams),
        *_character_ngrams(spans, points, ends, char_ngrams),
    ]
    return NGrams(
        rows=np.concatenate([rows for rows, _ in found]) if found else np.empty(0, np.int64),
        hashes=np.concatenate([hashes for _, hashes in found]) if found else np.empty(0, np.uint64),
    )


def _word_ngrams(
    spans: SpanHashes[np.uint64], joined: str, ends: NDArray[np.int64], sizes: tuple[int, int]
) -> list[tuple[NDArray[np.int64], Hashes]]:
    bounds = np.array([match.span() for match in _WORD.finditer(joined)], dtype=np.int64).reshape(-1, 2)
    rows = np.searchsorted(ends, bounds[:, 0], side="right")
    words = _mix(spans.between(bounds[:, 0], bounds[:, 1]))
    found = []
    grams = np.zeros_like(words)
    for size in range(1, sizes[1] + 1):
        # Order counts: what is gathered so far is multiplied before the next word is added.
        kept = max(0, len(words) - size + 1)
        grams = _mix(grams[:kept] * np.uint64(_BASE) + words[size - 1 :])
        if size >= sizes[0]:
            whole = rows[:kept] == rows[size - 1 :]
            found.append((rows[:kept][whole], _salted(grams[whole], _WORD_SALT, size)))
    return found


def _character_ngrams(
    spans: SpanHashes[np.uint64], points: NDArray[np.uint32], ends: NDArray[np.int64], sizes: tuple[int, int]
) -> list[tuple[NDArray[np.int64], Hashes]]:
    # Spaces before each position: a window has one inside it when their number changes between its ends.
    space = points == _SPACE
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(space)])
    found = []
    for size in range(sizes[0], sizes[1] + 1):
        start = np.arange(max(0, len(points) - size + 1))
        stop = start + size
        inner = before[stop - 1] - before[np.minimum(start + 1, stop - 1)]
        # A lone space, or the two spaces where one text ends and the next begins, are no n-gram either.
        blank = before[stop] - before[start] == size
        start = start[(inner == 0) & ~blank]
        rows = np.searchsorted(ends, start, side="right")
        found.append((rows, _salted(spans.between(start, start + size), _CHARACTER_SALT, size)))
    return found


def _salted(hashes: Hashes, salt: int, size: int) -> Hashes:
    return _mix(hashes ^ np.uint64(salt * 31 + size))


def _mix(x: Hashes) -> Hashes:
    """Spread every bit over all 64 (the finaliser of SplitMix64, Steele et al. 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))

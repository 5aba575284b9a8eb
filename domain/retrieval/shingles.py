"""How much two texts overlap: Jaccard similarity of their sets of word 3-grams (Broder 1997)."""

from __future__ import annotations

from collections.abc import Iterable

import attrs
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

WORDS = 3
_MULTIPLIERS = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], dtype=np.uint64)


def plain(text: str) -> str:
    """The text casefolded, with single spaces: what two texts are compared by."""
    return " ".join(text.casefold().split())


@attrs.frozen(eq=False)
class Shingles:
    """The sets of word 3-grams of many texts.

    A text of fewer than three words has one shingle, of all its words; one without words has none. Shingles are
    64-bit mixes of word numbers: two different ones agree with a chance of about 1e-7 among a million.

    Attributes:
        codes: (all,) uint64: each text's distinct shingles, ascending, text after text.
        starts: (texts + 1,) int64: where each text's begin.
    """

    codes: NDArray[np.uint64]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, texts: Iterable[str]) -> Shingles:
        """The shingles of texts, each read once."""
        numbers: dict[str, int] = {}
        parts = []
        for text in texts:
            words = [numbers.setdefault(word, len(numbers) + 1) for word in plain(text).split()]
            parts.append(np.unique(_mixed(words)))
        starts = np.concatenate([[0], np.cumsum([len(part) for part in parts], dtype=np.int64)])
        codes = np.concatenate(parts) if parts else np.empty(0, np.uint64)
        return cls(codes, starts.astype(np.int64))

    def jaccard(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.float64]:
        """|A ∩ B| / |A ∪ B| of each text of one kind with each of another, by their rows; 0 for two empty sets.

        Args:
            first: (a,) rows.
            second: (b,) rows.

        Returns:
            (a, b) float64 in [0, 1].
        """
        codes = np.concatenate([self._codes(first), self._codes(second)])
        distinct, columns = np.unique(codes, return_inverse=True)
        left, right = self._sizes(first), self._sizes(second)
        border = left.sum()
        shared = _incidence(columns[:border], left, len(distinct)) @ (
            _incidence(columns[border:], right, len(distinct)).T
        )
        common = np.asarray(shared.todense(), dtype=np.float64)
        union = left[:, None] + right[None, :] - common
        return np.divide(common, union, out=np.zeros_like(common), where=union > 0)

    def _sizes(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        return self.starts[rows + 1] - self.starts[rows]

    def _codes(self, rows: NDArray[np.int64]) -> NDArray[np.uint64]:
        sizes = self._sizes(rows)
        ends = np.cumsum(sizes)
        within = np.arange(sizes.sum()) - np.repeat(ends - sizes, sizes)
        codes: NDArray[np.uint64] = self.codes[np.repeat(self.starts[rows], sizes) + within]
        return codes


def _mixed(words: list[int]) -> NDArray[np.uint64]:
    """One code for each run of three word numbers."""
    if not words:
        return np.empty(0, np.uint64)
    padded = np.array(words + [0] * (WORDS - len(words)), dtype=np.uint64)
    runs = len(padded) - WORDS + 1
    code = np.zeros(runs, np.uint64)
    for place, multiplier in enumerate(_MULTIPLIERS):
        code = (code ^ (code >> np.uint64(29))) * multiplier + padded[place : place + runs] * multiplier
    mixed: NDArray[np.uint64] = code ^ (code >> np.uint64(32))
    return mixed


def _incidence(columns: NDArray[np.int64], sizes: NDArray[np.int64], width: int) -> csr_array:
    starts = np.concatenate([[0], np.cumsum(sizes)])
    return csr_array((np.ones(len(columns), np.float32), columns, starts), shape=(len(sizes), width))

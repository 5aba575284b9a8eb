"""Which group each of many words is of, by numbers made of their letters."""

from __future__ import annotations

from functools import cache

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.routing import word_groups
from fusionapp.domain.routing.joined_texts import Places

Letters = NDArray[np.uint8]
Keys = NDArray[np.uint64]
_SLOTS = 2**16
_FACTOR = 0x9E3779B97F4A7C15
"""2^64 divided by the golden ratio, which spreads numbers well (Knuth, The Art of Computer Programming 3, 6.4)."""
_MASKS = np.array([2 ** (8 * length) - 1 for length in range(9)], dtype=np.uint64)
"""Of the first 0 to 8 bytes of a number."""


@attrs.frozen(eq=False)
class GroupLookup:
    """The words of all groups by their keys, in a table where no two of them share a slot.

    Attributes:
        factor: odd; the highest bits of factor * key are a word's slot.
        keys: (slots,) uint64, of the word in each slot.
        group: (slots,) int8, its group's number; -1 where no word is.
    """

    factor: np.uint64
    keys: Keys
    group: NDArray[np.int8]

    @staticmethod
    @cache
    def known() -> GroupLookup:
        """Those of `word_groups`."""
        words = list(word_groups.GROUP_OF)
        lengths = np.fromiter(map(len, words), np.int64)
        stops = np.cumsum(lengths)
        keys = word_keys(np.frombuffer("".join(words).encode(), dtype=np.uint8), stops - lengths, stops)
        for odd in range(1, 2**16, 2):
            factor = np.uint64(odd * _FACTOR % 2**64)
            slots = _slots(keys, factor)
            if len(np.unique(slots)) == len(slots):
                break
        else:
            raise AssertionError("no factor parts all words of the groups; raise _SLOTS")
        table = np.zeros(_SLOTS, dtype=np.uint64), np.full(_SLOTS, -1, dtype=np.int8)
        table[0][slots], table[1][slots] = keys, list(word_groups.GROUP_OF.values())
        return GroupLookup(factor, *table)

    def groups(self, keys: Keys) -> NDArray[np.int8]:
        """(words,) the number of each one's group; -1 for none."""
        slots = _slots(keys, self.factor)
        return np.where(self.keys[slots] == keys, self.group[slots], np.int8(-1))


def _slots(keys: Keys, factor: np.uint64) -> Keys:
    return keys * factor >> np.uint64(64 - (_SLOTS - 1).bit_length())


def word_keys(letters: Letters, starts: Places, stops: Places) -> Keys:
    """(words,) a number of each one's first 16 letters: they themselves up to 8, a hash beyond.

    No word of a group has as many, so that none is taken for a longer word's beginning.

    Args:
        letters: (characters,) none of them 0.
        starts: (words,) where each word starts.
        stops: (words,) and where it stops.
    """
    padded = np.zeros(len(letters) // 8 + 3, dtype="<u8")  # so that two numbers stand behind every letter
    padded.view(np.uint8)[: len(letters)] = letters
    lengths = stops - starts
    keys = _first_eight(padded, starts, lengths)
    long = np.flatnonzero(lengths > 8)
    keys[long] += np.uint64(_FACTOR) * _first_eight(padded, starts[long] + 8, lengths[long] - 8)
    return keys


def _first_eight(eights: Keys, starts: Places, lengths: Places) -> Keys:
    """(words,) up to 8 letters as one number, put together from the two numbers over which they lie."""
    place = starts >> 3
    over = (starts << 3).astype(np.uint64) & np.uint64(63)
    behind = np.uint64(64) - over  # NumPy shifts by 64 to 0
    both: Keys = ((eights[place] >> over) | (eights[place + 1] << behind)) & _MASKS.take(lengths, mode="clip")
    return both

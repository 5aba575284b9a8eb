"""Which group each of many words is of, by their hashes."""

from __future__ import annotations

from functools import cache

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.routing import word_groups
from fusionapp.domain.span_hashes import hash_spans

_SLOTS = 2**16
_SHIFT = np.uint32(16)


@attrs.frozen(eq=False)
class GroupLookup:
    """The words of all groups by their hashes, in a table where no two of them share a slot.

    Another word is taken for one of theirs about once in eight million.

    Attributes:
        factor: odd; the highest bits of factor * hash are a word's slot.
        hashes: (slots,) uint32, of the word in each slot.
        group: (slots,) int8, its group's number; -1 where no word is.
    """

    factor: np.uint32
    hashes: NDArray[np.uint32]
    group: NDArray[np.int8]

    @staticmethod
    @cache
    def known() -> GroupLookup:
        """Those of `word_groups`."""
        words = list(word_groups.GROUP_OF)
        lengths = np.fromiter(map(len, words), np.int64)
        stops = np.cumsum(lengths)
        codes = np.frombuffer("".join(words).encode(), dtype=np.uint8)
        hashes = hash_spans(codes).between(stops - lengths, stops)
        for odd in range(1, 2**16, 2):
            factor = np.uint32(odd * 0x9E3779B1 % 2**32)
            slots = hashes * factor >> _SHIFT
            if len(np.unique(slots)) == len(slots):
                break
        else:
            raise AssertionError("two words of the groups have one hash; change the base of hash_spans")
        table = np.zeros(_SLOTS, dtype=np.uint32), np.full(_SLOTS, -1, dtype=np.int8)
        table[0][slots], table[1][slots] = hashes, list(word_groups.GROUP_OF.values())
        return GroupLookup(factor, *table)

    def groups(self, hashes: NDArray[np.uint32]) -> NDArray[np.int8]:
        """(words,) the number of each one's group; -1 for none."""
        slots = hashes * self.factor >> _SHIFT
        return np.where(self.hashes[slots] == hashes, self.group[slots], np.int8(-1))

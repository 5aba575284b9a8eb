"""Texts joined into one, so that each kind of thing in them is found by one pass over an array."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.routing.characters import (
    KINDS,
    Kind,
    ascii_kinds,
    ascii_letters,
    kinds_of_points,
    letters_of_points,
)

Column = NDArray[np.float64]
Places = NDArray[np.int64]
Mask = NDArray[np.bool_]
Points = NDArray[np.unsignedinteger]


@attrs.frozen(eq=False)
class JoinedTexts:
    """Texts one behind the other, a line end behind each, over which nothing that is counted runs.

    Attributes:
        text: all of it.
        points: (characters,) code points: uint8 where all are ASCII, else uint32.
        letters: (characters,) uint8 of a to z in lower case, of `APOSTROPHE`, else of `NO_LETTER`.
        kind: (characters,) uint8 numbers of kinds.
        ends: (texts,) places behind each text and its line end.
    """

    text: str
    points: Points
    letters: NDArray[np.uint8]
    kind: NDArray[np.uint8]
    ends: Places

    @classmethod
    def of(cls, texts: Sequence[str]) -> JoinedTexts:
        """Join them: any Unicode is taken, lone surrogates and empty texts included."""
        joined = "\n".join([*texts, ""])
        ends = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)) + 1)
        if joined.isascii():
            # Look-ups in bytes take a fifth of the time.
            raw = joined.encode("ascii")
            points, letters, kind = (
                np.frombuffer(each, dtype=np.uint8)
                for each in (raw, raw.translate(ascii_letters()), raw.translate(ascii_kinds()))
            )
            return cls(joined, points, letters, kind, ends)
        encoded = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype="<u4")
        places = encoded.astype(np.intp)  # once: every look-up would convert them
        return cls(
            text=joined,
            points=encoded,
            letters=letters_of_points().take(places, mode="clip"),
            kind=kinds_of_points().take(places, mode="clip"),
            ends=ends,
        )

    def is_kind(self, *kinds: Kind) -> Mask:
        """(characters,) whether each is of one of these kinds."""
        first, *others = (KINDS.index(kind) for kind in kinds)
        found: Mask = self.kind == first
        for other in others:
            found |= self.kind == other
        return found

    def places(self, kind: Kind) -> Places:
        """Where characters of a kind stand, of which none but a line end stands last; the last is also at -1."""
        return np.flatnonzero(self.kind == KINDS.index(kind))

    def find(self, *words: str) -> Places:
        """Where any of the words, none of which holds a line end, begins; ascending."""
        return np.sort(np.concatenate([self._find(word) for word in words]))

    def _find(self, word: str) -> Places:
        if word not in self.text:
            return np.empty(0, dtype=np.int64)
        places = np.flatnonzero(self.points == ord(word[-1]))
        for back, character in enumerate(word[-2::-1], start=1):
            # Before the first character stands, by NumPy's indices, the last one: a line end.
            places = places[self.points[places - back] == ord(character)]
        return places - (len(word) - 1)

    def lines(self) -> tuple[Places, Places]:
        """Where lines start, and where the line end of each stands."""
        ends = np.flatnonzero(self.is_kind("newline"))
        return np.concatenate([[0], ends + 1])[:-1], ends

    def per_text(self, places: Places) -> Column:
        """(texts,) how many of these ascending places lie in each."""
        return np.diff(np.searchsorted(places, self.ends), prepend=0).astype(np.float64)

    def longest(self, starts: Places, lengths: Places) -> Column:
        """(texts,) the greatest of the lengths that start in each, at ascending places; 0 without any."""
        stops = np.searchsorted(starts, self.ends)
        counts = np.diff(stops, prepend=0)
        some = counts > 0
        longest = np.zeros(len(self.ends))
        if some.any():
            longest[some] = np.maximum.reduceat(lengths, (stops - counts)[some])
        return longest


def runs(inside: Mask) -> tuple[Places, Places]:
    """Where runs of True start, and where they stop."""
    padded = np.zeros(len(inside) + 2, dtype=bool)
    padded[1:-1] = inside
    edges = np.flatnonzero(padded[1:] != padded[:-1])
    return edges[::2], edges[1::2]

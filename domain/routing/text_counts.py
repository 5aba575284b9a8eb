"""What there is to count in texts: kinds of characters, words of each group, and shapes such as list items.

Many texts are counted at once, joined by line ends, so that each kind of thing is one pass over an array and not a
loop over texts, which took three times as long.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.routing import word_groups
from fusionapp.domain.routing.characters import APOSTROPHE, KINDS, NO_LETTER, Kind
from fusionapp.domain.routing.group_lookup import GroupLookup, word_keys
from fusionapp.domain.routing.joined_texts import Column, JoinedTexts, runs
from fusionapp.domain.routing.text_shapes import SHAPES, Shape, count_shapes

_CHUNK = 2**20
"""Characters at once: with fewer, threads wait for each other between passes; with more, for memory."""


@attrs.frozen(eq=False)
class TextCounts:
    """Counts of each text.

    Attributes:
        kinds: (kinds, texts) characters, in the order of `KINDS`.
        groups: (groups, texts) words, in the order of `word_groups.NAMES`.
        shapes: (shapes, texts), in the order of `SHAPES`.
        characters: (texts,) code points.
        words: (texts,) pieces between blanks.
        longest: (texts,) characters of the longest.
        longest_line: (texts,) characters of the longest line.
        paragraphs: (texts,) blank lines, plus one.
    """

    kinds: NDArray[np.float64]
    groups: NDArray[np.float64]
    shapes: NDArray[np.float64]
    characters: Column
    words: Column
    longest: Column
    longest_line: Column
    paragraphs: Column

    def kind(self, *kinds: Kind) -> Column:
        """(texts,) characters of these kinds."""
        counted: Column = sum(
            (self.kinds[KINDS.index(kind)] for kind in kinds), np.zeros(self.kinds.shape[1])
        )
        return counted

    def group(self, name: str) -> Column:
        """(texts,) words of a group."""
        counted: Column = self.groups[word_groups.NAMES.index(name)]
        return counted

    def shape(self, name: Shape) -> Column:
        """(texts,) times that a shape stands in it."""
        counted: Column = self.shapes[SHAPES.index(name)]
        return counted


def count_texts(texts: Sequence[str]) -> TextCounts:
    """Count each text by itself: any Unicode is taken, lone surrogates and empty texts included."""
    # One character beyond ASCII makes its chunk slower, so such texts are counted together.
    order = sorted(range(len(texts)), key=lambda place: not texts[place].isascii())
    parts = [
        attrs.astuple(_count(JoinedTexts.of(some)), recurse=False)
        for some in _chunks([texts[place] for place in order])
    ]
    back = np.argsort(np.array(order, dtype=np.int64))
    return TextCounts(*(np.concatenate(each, axis=-1)[..., back] for each in zip(*parts, strict=True)))


def _chunks(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """Some of the texts after others, of about `_CHUNK` characters; none at all are a chunk, too."""
    ends = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)))
    start = 0
    while start < len(texts) or start == 0:
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _CHUNK)))
        yield texts[start:stop]
        start = stop


def _count(texts: JoinedTexts) -> TextCounts:
    blank = texts.is_kind("space", "newline", "tab")
    starts, stops = runs(~blank)
    lines, line_ends = texts.lines()
    kinds = _kinds(texts)
    return TextCounts(
        kinds=kinds,
        groups=_groups(texts),
        shapes=count_shapes(texts),
        characters=kinds.sum(axis=0),
        words=texts.per_text(starts),
        longest=texts.longest(starts, stops - starts),
        longest_line=texts.longest(lines, line_ends - lines),
        paragraphs=_paragraphs(texts),
    )


def _kinds(texts: JoinedTexts) -> NDArray[np.float64]:
    """(kinds, texts), without the line ends that join them."""
    shape = (len(texts.ends), len(KINDS))
    cells = np.repeat(np.arange(shape[0]) * shape[1], np.diff(texts.ends, prepend=0))
    cells += texts.kind
    counts = np.bincount(cells, minlength=shape[0] * shape[1]).reshape(shape).T.astype(np.float64)
    counts[KINDS.index("newline")] -= 1
    return counts


def _paragraphs(texts: JoinedTexts) -> Column:
    """Line ends are taken in twos, and those that join texts are not taken."""
    newline = texts.points == ord("\n")
    newline[texts.ends - 1] = False
    starts, stops = runs(newline)
    blank_lines = np.concatenate([[0], np.cumsum((stops - starts) // 2)])
    upto = blank_lines[np.searchsorted(starts, texts.ends)]
    return np.diff(upto, prepend=0) + 1.0


def _groups(texts: JoinedTexts) -> NDArray[np.float64]:
    """(groups, texts): words are runs of the letters a to z, apostrophes being nothing."""
    spelled = np.frombuffer(texts.letters.tobytes().translate(None, APOSTROPHE.encode()), dtype=np.uint8)
    apostrophes = np.flatnonzero(texts.letters == ord(APOSTROPHE))
    ends = texts.ends - np.searchsorted(apostrophes, texts.ends)
    starts, stops = runs(spelled != ord(NO_LETTER))
    group = GroupLookup.known().groups(word_keys(spelled, starts, stops))
    known = group >= 0
    counts = np.diff(np.searchsorted(starts[known], ends), prepend=0)
    shape = (len(word_groups.NAMES), len(ends))
    cells = group[known] * np.int64(len(ends)) + np.repeat(np.arange(len(ends)), counts)
    return np.bincount(cells, minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64)

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
from fusionapp.domain.routing.characters import KINDS, Kind
from fusionapp.domain.routing.group_lookup import GroupLookup
from fusionapp.domain.routing.joined_texts import Column, JoinedTexts, Mask, Places, Points, is_letter, runs
from fusionapp.domain.routing.text_shapes import SHAPES, Shape, count_shapes
from fusionapp.domain.span_hashes import SpanHashes, hash_spans

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
        distinct: (texts,) distinct ones, in lower case by single characters (a final sigma is another letter);
            code points beyond `TABLE_END` are one character.
        longest: (texts,) characters of the longest.
        longest_line: (texts,) characters of the longest line.
        paragraphs: (texts,) blank lines, plus one.
    """

    kinds: NDArray[np.float64]
    groups: NDArray[np.float64]
    shapes: NDArray[np.float64]
    characters: Column
    words: Column
    distinct: Column
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
    kinds, hashes = _kinds(texts), hash_spans(texts.lower)
    return TextCounts(
        kinds=kinds,
        groups=_groups(texts, hashes),
        shapes=count_shapes(texts),
        characters=kinds.sum(axis=0),
        words=texts.per_text(starts),
        distinct=_distinct(texts, hashes.between(starts, stops), starts),
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


def _distinct(texts: JoinedTexts, hashes: NDArray[np.uint32], starts: Places) -> Column:
    """(texts,) distinct pieces by their hashes: two pieces are taken for one once in four billion pairs."""
    stops = np.searchsorted(starts, texts.ends)
    text = np.repeat(np.arange(len(stops), dtype=np.uint64), np.diff(stops, prepend=0))
    keys = np.sort((text << np.uint64(32)) | hashes)
    # A text's keys, sorted, stand where its pieces stood.
    repeated = np.flatnonzero(keys[1:] == keys[:-1]) + 1
    upto = stops - np.searchsorted(repeated, stops)
    return np.diff(upto, prepend=0).astype(np.float64)


def _paragraphs(texts: JoinedTexts) -> Column:
    """Line ends are taken in twos, and those that join texts are not taken."""
    newline = texts.points == ord("\n")
    newline[texts.ends - 1] = False
    starts, stops = runs(newline)
    blank_lines = np.concatenate([[0], np.cumsum((stops - starts) // 2)])
    upto = blank_lines[np.searchsorted(starts, texts.ends)]
    return np.diff(upto, prepend=0) + 1.0


def _groups(texts: JoinedTexts, hashes: SpanHashes[np.uint32]) -> NDArray[np.float64]:
    """(groups, texts): words are runs of the letters a to z, apostrophes being nothing."""
    apostrophe = (texts.points == ord("'")) | (texts.points == ord("’"))
    starts, stops = runs(is_letter(texts.lower) | apostrophe)
    each = hashes.between(starts, stops)
    holding = np.unique(np.searchsorted(starts, np.flatnonzero(apostrophe), side="right") - 1)
    each[holding] = _hashes_of_some(texts.lower, starts[holding], stops[holding], ~apostrophe)
    group = GroupLookup.known().groups(each)
    known = group >= 0
    counts = np.diff(np.searchsorted(starts[known], texts.ends), prepend=0)
    rows = np.repeat(np.arange(len(texts.ends)), counts)
    shape = (len(word_groups.NAMES), len(texts.ends))
    cells = group[known] * np.int64(len(texts.ends)) + rows
    return np.bincount(cells, minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64)


def _hashes_of_some(codes: Points, starts: Places, stops: Places, kept: Mask) -> NDArray[np.uint32]:
    """(spans,) hashes of spans of codes of which some are left out."""
    lengths = stops - starts
    first = np.cumsum(lengths) - lengths
    places = np.arange(lengths.sum()) + np.repeat(starts - first, lengths)
    places = places[kept[places]]
    upto = np.searchsorted(places, stops)
    return hash_spans(codes[places]).between(np.concatenate([[0], upto])[:-1], upto)

"""What there is to count in texts: kinds of characters, words of each group, and shapes such as list items."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Literal, get_args

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.routing import word_groups

Column = NDArray[np.float64]

Kind = Literal[
    "lower",
    "upper",
    "digit",
    "space",
    "newline",
    "tab",
    "stop",
    "comma",
    "question_mark",
    "exclamation_mark",
    "colon",
    "quote",
    "parenthesis",
    "bracket",
    "brace",
    "relation",
    "operator",
    "backslash",
    "dollar",
    "underscore",
    "hyphen",
    "punctuation",
    "symbol",
    "greek",
    "cyrillic",
    "arabic_hebrew",
    "indic",
    "east_asian",
    "other_letter",
    "other",
]
"""A character is of one kind; Latin letters are `lower` or `upper`, with or without accents."""

KINDS: tuple[Kind, ...] = get_args(Kind)

_SINGLE: Mapping[str, Kind] = {
    **dict.fromkeys("\n\r\v\f\x85\u2028\u2029", "newline"),
    **dict.fromkeys(".。।", "stop"),
    **dict.fromkeys(",、،，", "comma"),
    **dict.fromkeys("?？؟", "question_mark"),
    **dict.fromkeys("!！", "exclamation_mark"),
    **dict.fromkeys(":;：；", "colon"),
    **dict.fromkeys("\"'`“”‘’«»", "quote"),
    **dict.fromkeys("()（）", "parenthesis"),
    **dict.fromkeys("[]", "bracket"),
    **dict.fromkeys("{}", "brace"),
    **dict.fromkeys("=<>≤≥≠≈", "relation"),
    **dict.fromkeys("+*/^%|&~×÷±∑∫√∞∈∀∃→−", "operator"),
    **dict.fromkeys("-–—", "hyphen"),
    "\t": "tab",
    "\\": "backslash",
    "$": "dollar",
    "_": "underscore",
}

_SCRIPTS: Sequence[tuple[int, int, Kind]] = (
    (0x0370, 0x0400, "greek"),
    (0x0400, 0x0530, "cyrillic"),
    (0x0590, 0x0780, "arabic_hebrew"),
    (0x0900, 0x0E00, "indic"),
    (0x1100, 0x1200, "east_asian"),
    (0x1F00, 0x2000, "greek"),
    (0x2E80, 0xA4D0, "east_asian"),
    (0xAC00, 0xD7B0, "east_asian"),
    (0xF900, 0xFB00, "east_asian"),
    (0xFB1D, 0xFE00, "arabic_hebrew"),
    (0xFE70, 0xFF00, "arabic_hebrew"),
    (0xFF66, 0xFFDD, "east_asian"),
)

Shape = Literal[
    "list_item", "option", "code_start", "role", "code_end", "latex", "url", "gap", "number", "name"
]
"""Things of several characters; a `number` is a run of digits, a `name` a capitalised word within a sentence."""

SHAPES: tuple[Shape, ...] = get_args(Shape)

_LINE_START = re.compile(
    r"[ \t]*(?:(?P<list_item>(?:[-*•]|\d{1,3}[.)])[ \t])|(?P<option>\(?[A-J][).:][ \t])|"
    r"(?P<code_start>(?:def|class|import|from|for|while|if|assert|public|var|let|const|function|SELECT|return) |"
    r"#include|>>>|```)|(?P<role>(?:Q|A|Question|Answer|User|Assistant|System|Human|AI)[ \t]*:))"
)
_LATEX = re.compile(r"\\[a-zA-Z]+")
_GAP = re.compile(r"__+|\[(?:MASK|BLANK)\]")
_WORD = re.compile(r"[a-z]+")
_CHUNK = 4096
_TABLE_END = 0x20000


@attrs.frozen(eq=False)
class TextCounts:
    """Counts of each text.

    Attributes:
        kinds: (texts, kinds) of characters, in the order of `KINDS`.
        groups: (texts, groups) of words, in the order of `word_groups.NAMES`.
        shapes: (texts, shapes), in the order of `SHAPES`.
        words: (texts,) pieces between blanks.
        distinct: (texts,) distinct ones, in lower case.
        longest: (texts,) characters of the longest.
        longest_line: (texts,) characters of the longest line.
        paragraphs: (texts,) blank lines, plus one.
    """

    kinds: NDArray[np.float64]
    groups: NDArray[np.float64]
    shapes: NDArray[np.float64]
    words: Column
    distinct: Column
    longest: Column
    longest_line: Column
    paragraphs: Column

    def kind(self, *kinds: Kind) -> Column:
        """(texts,) characters of these kinds."""
        counted: Column = self.kinds[:, [KINDS.index(kind) for kind in kinds]].sum(axis=1)
        return counted

    def group(self, name: str) -> Column:
        """(texts,) words of a group."""
        return self.groups[:, word_groups.NAMES.index(name)]

    def shape(self, name: Shape) -> Column:
        """(texts,) times that a shape stands in it."""
        return self.shapes[:, SHAPES.index(name)]

    @property
    def characters(self) -> Column:
        """(texts,) code points."""
        counted: Column = self.kinds.sum(axis=1)
        return counted


def count_texts(texts: Sequence[str]) -> TextCounts:
    """Count each text by itself: any Unicode is taken, lone surrogates and empty texts included."""
    parts = [_characters(texts[start : start + _CHUNK]) for start in range(0, len(texts), _CHUNK)]
    by_character = np.concatenate([np.zeros((0, len(KINDS) + 2)), *parts])
    groups = np.zeros((len(texts), len(word_groups.NAMES)))
    shapes, rest = np.zeros((len(texts), len(SHAPES))), np.zeros((len(texts), 5))
    for row, text in enumerate(texts):
        lower = text.lower()
        groups[row] = _groups(lower)
        words, lines = lower.split(), text.splitlines()
        shapes[row, :-2] = _shapes(text, lines)
        rest[row] = (
            len(words),
            len(set(words)),
            max(map(len, words), default=0),
            max(map(len, lines), default=0),
            text.count("\n\n") + 1,
        )
    shapes[:, -2:] = by_character[:, -2:]
    return TextCounts(by_character[:, :-2], groups, shapes, *rest.T)


def _shapes(text: str, lines: Sequence[str]) -> list[int]:
    """All shapes but the last two; one that needs a certain character is not looked for without it."""
    starts = [match.lastgroup for match in map(_LINE_START.match, lines) if match]
    ended = text + "\n"
    return [
        *(starts.count(shape) for shape in SHAPES[:4]),
        ended.count(";\n") + ended.count("{\n") + ended.count("}\n"),
        len(_LATEX.findall(text)) if "\\" in text else 0,
        text.count("http") + text.count("www."),
        len(_GAP.findall(text)) if "__" in text or "[" in text else 0,
    ]


def _groups(lower: str) -> list[int]:
    counts = [0] * len(word_groups.NAMES)
    for number in map(word_groups.GROUP_OF.get, _WORD.findall(lower.replace("'", "").replace("’", ""))):
        if number is not None:
            counts[number] += 1
    return counts


def _characters(texts: Sequence[str]) -> NDArray[np.float64]:
    """(texts, kinds + 2): characters of each kind, numbers and names.

    Texts are joined by line ends, over which neither a number nor a name runs, and which are not counted.
    """
    joined = "".join(text + "\n" for text in texts)
    points = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    row = np.repeat(np.arange(len(texts)), [len(text) + 1 for text in texts])
    kind = _table()[np.minimum(points, _TABLE_END)]
    counts = np.bincount(row * len(KINDS) + kind, minlength=len(texts) * len(KINDS)).reshape(len(texts), -1)
    counts[:, KINDS.index("newline")] -= 1
    digit, lower, upper, space, comma = (
        kind == KINDS.index(each) for each in ("digit", "lower", "upper", "space", "comma")
    )
    number = np.flatnonzero(digit[:-1] & ~digit[1:])
    name = np.flatnonzero((lower | comma)[:-3] & space[1:-2] & upper[2:-1] & lower[3:])
    found = [np.bincount(row[places], minlength=len(texts)) for places in (number, name)]
    return np.column_stack([counts, *found]).astype(np.float64)


@cache
def _table() -> NDArray[np.uint8]:
    """(code points,) the number of each one's kind; all beyond are rare ideographs, and share the last entry."""
    numbers = {kind: number for number, kind in enumerate(KINDS)}
    table = [numbers[_kind(chr(point))] for point in range(_TABLE_END)]
    return np.array([*table, numbers["east_asian"]], dtype=np.uint8)


def _kind(character: str) -> Kind:
    if character in _SINGLE:
        return _SINGLE[character]
    category = unicodedata.category(character)
    if category[0] in "LM":
        return _letter(character, category)
    if category == "Zs":
        return "space"
    if category[0] == "P":
        return "punctuation"
    if category[0] == "S":
        return "symbol"
    return "digit" if category == "Nd" else "other"


def _letter(character: str, category: str) -> Kind:
    point = ord(character)
    for start, end, kind in _SCRIPTS:
        if start <= point < end:
            return kind
    if point < 0x0370 or 0x1E00 <= point < 0x1F00:
        return "upper" if category in ("Lu", "Lt") else "lower"
    return "other_letter"

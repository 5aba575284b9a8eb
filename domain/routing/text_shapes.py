"""Shapes of several characters in texts: list items, options, code, LaTeX, addresses, gaps, numbers, names."""

from __future__ import annotations

import re
from functools import cache
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.routing.characters import KINDS
from fusionapp.domain.routing.joined_texts import JoinedTexts, Mask, Places, Points

Shape = Literal[
    "list_item", "option", "code_start", "role", "code_end", "latex", "url", "gap", "number", "name"
]
"""Things of several characters; a `number` is a run of digits, a `name` a capitalised word within a sentence."""

SHAPES: tuple[Shape, ...] = get_args(Shape)

_CODE = (
    *("def", "class", "import", "from", "for", "while", "if", "assert"),
    *("public", "var", "let", "const", "function", "SELECT", "return"),
)
_ROLES = ("Q", "A", "Question", "Answer", "User", "Assistant", "System", "Human", "AI")
_LINE_START = re.compile(
    r"[ \t]*(?:(?P<list_item>(?:[-*•]|\d{1,3}[.)])[ \t])|(?P<option>\(?[A-J][).:][ \t])|"
    rf"(?P<code_start>(?:{'|'.join(_CODE)}) |#include|>>>|```)|(?P<role>(?:{'|'.join(_ROLES)})[ \t]*:))"
)
_BEYOND = 127
"""Stands for all characters that are not ASCII."""
_TO_LOWER = np.uint8(32)
"""The bit that makes A to Z a to z, and no other character one of them."""


def count_shapes(texts: JoinedTexts) -> NDArray[np.float64]:
    """(shapes, texts) in the order of `SHAPES`."""
    newline = np.flatnonzero(texts.points == ord("\n"))
    last = texts.points[newline - 1]
    digit, backslash = texts.places("digit"), texts.places("backslash")
    found: dict[Shape, Places] = {
        **_line_starts(texts),
        "code_end": newline[(last == ord(";")) | (last == ord("{")) | (last == ord("}"))],
        "latex": backslash[_is_letter(texts.points[backslash + 1] | _TO_LOWER)],
        "url": texts.find("http", "www."),
        "gap": np.sort(np.concatenate([_gaps(texts), texts.find("[MASK]", "[BLANK]")])),
        "number": digit[texts.kind[digit + 1] != KINDS.index("digit")],
        "name": _names(texts),
    }
    return np.stack([texts.per_text(found[shape]) for shape in SHAPES])


def _gaps(texts: JoinedTexts) -> Places:
    """Where the second of two or more underscores stands."""
    underscore = texts.places("underscore")
    later = underscore[texts.points[underscore - 1] == ord("_")]
    second: Places = later[texts.points[later - 2] != ord("_")]
    return second


def _names(texts: JoinedTexts) -> Places:
    """Where a capital stands before a small letter, and behind a blank with a small letter or comma before it."""
    lower, comma, space = map(KINDS.index, ("lower", "comma", "space"))
    capital = texts.places("upper")
    begins = capital[texts.kind[capital - 1] == space]
    begins = begins[texts.kind[begins + 1] == lower]
    before = texts.kind[begins - 2]
    name: Places = begins[(before == lower) | (before == comma)]
    return name


def _is_letter(points: Points) -> Mask:
    """Whether each is one of a to z; what lies below wraps to far above."""
    return points - ord("a") < 26


def _line_starts(texts: JoinedTexts) -> dict[Shape, Places]:
    starts, _ = texts.lines()
    first, second = (np.minimum(texts.points.take(starts + back, mode="clip"), _BEYOND) for back in (0, 1))
    likely = starts[_beginnings()[first, second]]
    found: dict[str, list[int]] = {"list_item": [], "option": [], "code_start": [], "role": []}
    match, text = _LINE_START.match, texts.text
    for start in likely.tolist():
        matched = match(text, start)
        if matched:
            found[matched.lastgroup or ""].append(start)
    return {shape: np.array(found[shape], dtype=np.int64) for shape in SHAPES[:4]}


@cache
def _beginnings() -> Mask:
    """(128, 128) whether a line that begins with two characters may be of some shape.

    A loop over lines is slow, and most begin otherwise. All that is not ASCII stands in the last row and column.
    """
    table = np.zeros((_BEYOND + 1, _BEYOND + 1), dtype=bool)

    def allow(first: str, second: str) -> None:
        table[np.ix_([ord(a) for a in first], [ord(b) for b in second])] = True

    blank, digits, options = " \t", "0123456789", "ABCDEFGHIJ"
    allow("-*", blank)
    allow(digits, digits + ".)")
    allow("(", options)
    allow(options, ").:")
    for word in (*_CODE, *_ROLES, "#include", ">>>", "```"):
        allow(word[0], word[1:2] or blank + ":")
    table[[ord(character) for character in digits], _BEYOND] = True
    table[[ord(character) for character in blank]] = True
    table[_BEYOND] = True
    return table

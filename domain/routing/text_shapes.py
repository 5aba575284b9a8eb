"""Shapes of several characters in texts: list items, options, code, LaTeX, addresses, gaps, numbers, names."""

from __future__ import annotations

import re
from functools import cache
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.routing.joined_texts import JoinedTexts, Mask, Places, is_letter, runs

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
    digit, lower, upper = texts.is_kind("digit"), texts.is_kind("lower"), texts.is_kind("upper")
    space, comma, gap = texts.is_kind("space"), texts.is_kind("comma"), texts.is_kind("underscore")
    newline = np.flatnonzero(texts.points == ord("\n"))
    last = texts.points[np.maximum(newline - 1, 0)]
    gap[1:] &= gap[:-1]
    gap[:1] = False
    found: dict[Shape, Places] = {
        **_line_starts(texts),
        "code_end": newline[(last == ord(";")) | (last == ord("{")) | (last == ord("}"))],
        "latex": np.flatnonzero(texts.is_kind("backslash")[:-1] & is_letter(texts.points[1:] | _TO_LOWER)),
        "url": texts.find("http", "www."),
        "gap": np.sort(np.concatenate([runs(gap)[0], texts.find("[MASK]", "[BLANK]")])),
        "number": np.flatnonzero(digit[:-1] & ~digit[1:]),
        "name": np.flatnonzero((lower | comma)[:-3] & space[1:-2] & upper[2:-1] & lower[3:]),
    }
    return np.stack([texts.per_text(found[shape]) for shape in SHAPES])


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

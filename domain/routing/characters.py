"""The kind of a character: of which script a letter is, what a sign is for."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

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


TABLE_END = 0x20000
"""Nearly all code points beyond are rare ideographs; tables take all for such, in one entry, their last."""

APOSTROPHE, NO_LETTER = "'", " "


@cache
def kinds_of_points() -> NDArray[np.uint8]:
    """(`TABLE_END` + 1,) the number of each code point's kind, in the order of `KINDS`."""
    numbers = {kind: number for number, kind in enumerate(KINDS)}
    table = [numbers[_kind(chr(point))] for point in range(TABLE_END)]
    return np.array([*table, numbers["east_asian"]], dtype=np.uint8)


@cache
def ascii_kinds() -> bytes:
    """(256,) the same of ASCII's characters, as `bytes.translate` takes it; the rest stands for nothing."""
    return kinds_of_points()[:128].tobytes() + bytes(128)


@cache
def letters_of_points() -> NDArray[np.uint8]:
    """(`TABLE_END` + 1,) each code point's lower case where it is one of a to z, `APOSTROPHE`, or `NO_LETTER`."""
    return np.array([ord(_letter_of(chr(point))) for point in range(TABLE_END + 1)], dtype=np.uint8)


@cache
def ascii_letters() -> bytes:
    """(256,) the same of ASCII's characters, as `bytes.translate` takes it; the rest stands for nothing."""
    return letters_of_points()[:128].tobytes() + bytes(128)


def _letter_of(character: str) -> str:
    if character in "'’":
        return APOSTROPHE
    lower = character.lower()[0]  # "İ", which would be two, is "i"
    return lower if "a" <= lower <= "z" else NO_LETTER


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

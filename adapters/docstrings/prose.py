"""The sentences of a docstring, without what stands around them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from inspect import cleandoc

MAX_CHARACTERS = 600
"""Longer prose is cut after a sentence: a sentence encoder reads about this much."""

_SECTION = re.compile(
    r"(other |keyword |optional )?(param(eter)?s?|args?|arguments?)|attributes?|attrs|methods|members|shape"
    r"|returns?|yields?|receives|raises?|warns|warnings?|errors?|exceptions?|see also|notes?|references?"
    r"|examples?|usage( examples?)?|example usage|inputs?|outputs?|citations?|license|copyright",
    re.IGNORECASE,
)
_UNDERLINE = re.compile(r"([-=~^\"'`#*+_])\1{2,}\s*")
_FIELD = re.compile(
    r"\s*(:(param|parameter|arg|argument|key|keyword|type|returns?|rtype|raises?|exc\w*|ivar|cvar|var)\b|@\w+|(TODO|FIXME|XXX)\b)"
)
_DIRECTIVE = re.compile(r"\s*\.\.(\s|$)")
_TABLE = re.compile(r"\s*([+|].*|[-=]+(\s+[-=]+)+\s*)$")
_BULLET = re.compile(r"^([-*+•]|\(?\d{1,2}[.)])\s+")
_FENCE = re.compile(r"^\s*(```|~~~).*?(^\s*\1|\Z)", re.DOTALL | re.MULTILINE)

_INLINE: Sequence[tuple[re.Pattern[str], str]] = tuple(
    (re.compile(pattern), into)
    for pattern, into in (
        (r":math:`[^`]*`|\$[^$]{1,200}\$", " "),
        (r"<?(https?|ftp)://[^\s>`)\]]+>?|\bwww\.[^\s>`)\]]+", " "),
        (r"(?::[\w+-]+)+:`[~!]?([^`<]*?)\s*(?:<[^`>]*>)?`", r"\1"),  # :class:`~a.B`, :ref:`text <target>`
        (r"`([^`<]+?)\s*<[^`>]*>`_{0,2}", r"\1"),  # `text <target>`_
        (r"!?\[([^\]]*)\]\([^)]*\)", r"\1"),  # [text](target)
        (r"\[[\w#*]+\]_", " "),  # [1]_
        (r"`+~?([^`]*)`+_{0,2}", r"\1"),
        (r"(?<!\w)\*{1,3}([^*\s][^*]*)\*{1,3}(?!\w)", r"\1"),
        (r"</?\w+[^>]{0,80}>", " "),
        (r"\s+", " "),
    )
)


def prose(docstring: str) -> str:
    """A docstring's summary and paragraphs as one line, at most MAX_CHARACTERS long; "" where it has none.

    Left out: everything from the first section (Parameters, Args:, :param, Examples, ...) on, doctests,
    directives, literal and indented blocks, tables, titles, formulas and URLs.
    """
    text = " ".join(_prose_lines(_FENCE.sub("", cleandoc(docstring)).split("\n")))
    for pattern, into in _INLINE:
        text = pattern.sub(into, text)
    return _shorten(text.strip())


def _prose_lines(lines: Sequence[str]) -> Iterator[str]:
    """Lines of prose, list items without their markers."""
    previous = ""  # the unindented line before, "" if it was blank or left out
    in_block = in_doctest = False  # a block ends with its indentation, a doctest with a blank line
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if not line.strip():
            previous, in_doctest = "", False
            continue
        if _ends_prose(line, following):
            return
        indented = line[:1].isspace()
        in_block = in_block and indented
        in_doctest = in_doctest or line.lstrip().startswith(">>>")
        if _DIRECTIVE.match(line):
            in_block, previous = True, ""
        elif in_block or in_doctest or _is_decoration(line, following):
            previous = ""
        elif not indented or _BULLET.match(previous):
            in_block = line.rstrip().endswith("::")
            previous = previous if indented else line
            yield _BULLET.sub("", re.sub("::$", ":", line.strip()))


def _ends_prose(line: str, following: str) -> bool:
    """Whether a section starts: underlined as in numpydoc, with a colon as Google's, or as a field."""
    if _FIELD.match(line):
        return True
    title = line.strip().strip("*_#: ")
    marked = line.rstrip().endswith((":", ":**")) or line.startswith("#") or _UNDERLINE.fullmatch(following)
    return bool(marked and _SECTION.fullmatch(title))


def _is_decoration(line: str, following: str) -> bool:
    """Titles, rules and tables."""
    return bool(
        _UNDERLINE.fullmatch(line.strip())
        or _UNDERLINE.fullmatch(following)
        or _TABLE.match(line)
        or line.startswith("#")
    )


def _shorten(text: str) -> str:
    if len(text) <= MAX_CHARACTERS:
        return text
    end = text.rfind(". ", 0, MAX_CHARACTERS)
    return text[: end + 1] if end > 0 else text[: text.rfind(" ", 0, MAX_CHARACTERS)]

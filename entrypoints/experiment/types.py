"""The types of settings: how people call them, and how strictly a TOML value must match."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import attrs

NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a string",
    NoneType: "nothing",
}


def describe(kind: Any) -> str:
    """A type as a person would say it: ``tuple[int, ...]`` is "a list of whole numbers"."""
    if kind in NAMES:
        return NAMES[kind]
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return (
            "one of " + ", ".join(repr(value) for value in arguments)
            if len(arguments) > 1
            else repr(arguments[0])
        )
    if origin in (Union, UnionType):
        return " or ".join(describe(member) for member in arguments if member is not NoneType)
    if origin is tuple and arguments[-1] is Ellipsis:
        return f"a list of {describe(arguments[0]).removeprefix('a ')}s"
    if origin is tuple:
        return f"a list of {len(arguments)} {describe(arguments[0]).removeprefix('a ')}s"
    return "a table"


def is_plain(kind: Any) -> bool:
    """Whether `match` structures this type: everything but tables."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return all(is_plain(member) for member in arguments)
    if origin is tuple:
        return listed_table(kind) is None
    return kind in NAMES or origin is Literal


def listed_table(kind: Any) -> Any | None:
    """The class of ``[[tables]]``, such as ``tuple[Stage, ...]``; None for every other type."""
    arguments = get_args(kind)
    return arguments[0] if get_origin(kind) is tuple and attrs.has(arguments[0]) else None


def optional_table(kind: Any) -> Any | None:
    """The class of a table that may be absent, such as ``Composition | None``; None for every other type."""
    if get_origin(kind) not in (Union, UnionType):
        return None
    return next((member for member in get_args(kind) if attrs.has(member)), None)


def match(value: Any, kind: Any) -> Any:
    """The value as that type, without guessing: no string becomes a number, no number a truth value.

    Raises:
        ValueError: "expected a number, got 'fast'".
    """
    matched, result = _match(value, kind)
    if not matched:
        raise ValueError(f"expected {describe(kind)}, got {shown(value)}")
    return result


def shown(value: Any) -> str:
    """A value for a message, cut where it is long."""
    text = "a table" if isinstance(value, Mapping) else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _match(value: Any, kind: Any) -> tuple[bool, Any]:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return any(value == option and type(value) is type(option) for option in arguments), value
    if origin in (Union, UnionType):
        results = (_match(value, member) for member in arguments)
        return next((found for found in results if found[0]), (False, None))
    if origin is tuple:
        return _match_list(value, arguments)
    if kind is float:
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        return number, float(value) if number else None
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool), value
    return isinstance(value, kind), value


def _match_list(value: Any, arguments: tuple[Any, ...]) -> tuple[bool, Any]:
    if not isinstance(value, list | tuple):
        return False, None
    if arguments[-1] is Ellipsis:
        arguments = (arguments[0],) * len(value)
    if len(arguments) != len(value):
        return False, None
    results = [_match(item, kind) for item, kind in zip(value, arguments, strict=True)]
    return all(matched for matched, _ in results), tuple(item for _, item in results)

"""Code that a model's configuration may ask for, and that is never fetched or run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fusionapp.domain.errors import UsageError


def refuse_foreign_kernels(config: Any, name: str) -> None:
    """A slash in an implementation's name makes transformers fetch and run a kernel from the hub.

    Args:
        config: a JSON value.
        name: the file that it is from.

    Raises:
        UsageError: there is one, at any depth.
    """
    for key, value in walk(config):
        if key.endswith("_implementation") and "/" in str(value):
            raise UsageError(f"model: {name} asks for the kernel {value!r} in {key}; that is refused")


def walk(config: Any) -> Iterator[tuple[str, Any]]:
    """Every key of a JSON value with what it holds, at any depth."""
    if isinstance(config, Mapping):
        for key, value in config.items():
            yield key, value
            yield from walk(value)
    elif isinstance(config, Sequence) and not isinstance(config, str):
        for value in config:
            yield from walk(value)

"""Encoders and stores of other packages, found by their entry points.

A package announces them in its ``pyproject.toml``::

    [project.entry-points."fusionapp.encoders"]
    letters = "their_package:LetterSettings"

    [project.entry-points."fusionapp.stores"]
    theirs = "their_package:their_store"

An encoder's entry point is an attrs class: its fields are the keys of ``[encoders.NAME]``, `adapter` among them,
and its method `build()` returns an `Encoder`. A store's is a function from `storage.root` to an `EmbeddingStore`.
Their code is imported only where an experiment names them.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

import attrs

from fusionapp.domain.errors import UsageError

ENCODERS = "fusionapp.encoders"
STORES = "fusionapp.stores"


def plugin_names(group: str) -> list[str]:
    """What the installed packages announce in a group."""
    return sorted({point.name for point in entry_points(group=group)})


def load_settings(adapter: str) -> type | None:
    """The settings class of an encoder that a package announces; None where none does.

    Raises:
        UsageError: it cannot be imported, or is no settings class.
    """
    point = _find(ENCODERS, adapter)
    if point is None:
        return None
    found = _load(point)
    if not (attrs.has(found) and hasattr(found, "build") and "adapter" in attrs.fields_dict(found)):
        raise UsageError(
            f"{_name(point)} is no attrs class with a field `adapter` and a method `build`; see its package"
        )
    kind: type = found
    return kind


def load_store(adapter: str) -> Any:
    """The function that builds a store that a package announces.

    Raises:
        UsageError: none is announced under that name, or it cannot be imported.
    """
    point = _find(STORES, adapter)
    if point is None:
        known = ", ".join(map(repr, ("npy", "parquet", *plugin_names(STORES))))
        raise UsageError(f"storage.adapter: expected one of {known}, got {adapter!r}")
    return _load(point)


def _find(group: str, name: str) -> EntryPoint | None:
    found = {point.value: point for point in entry_points(group=group, name=name)}
    if len(found) > 1:
        raise UsageError(
            f"{group}: {name!r} is announced by several packages: {', '.join(found)}; remove one"
        )
    return next(iter(found.values()), None)


def _load(point: EntryPoint) -> Any:
    try:
        return point.load()
    except Exception as error:
        raise UsageError(
            f"{_name(point)} cannot be imported: {error!r}; mend or remove its package"
        ) from error


def _name(point: EntryPoint) -> str:
    return f"{point.group}: {point.name} = {point.value!r}"

"""Every key of the schema as rows, for `fusionapp schema`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin, get_type_hints

import attrs

from fusionapp.entrypoints.experiment.schema import Experiment, HuggingFaceSettings
from fusionapp.entrypoints.experiment.structure import ENCODERS
from fusionapp.entrypoints.experiment.types import describe, is_plain

OTHERS = {kind: adapter for adapter, kind in ENCODERS.items() if kind is not HuggingFaceSettings}
"""The tables of the other adapters; their keys say whose they are."""


@attrs.frozen
class SchemaRow:
    """One key: its dotted path, its type in words, its default as TOML or "required", its meaning."""

    key: str
    type: str
    default: str
    meaning: str


def schema_rows() -> list[SchemaRow]:
    """Every key of an experiment, in file order."""
    return list(_rows(Experiment, ""))


def _rows(kind: type, prefix: str) -> Iterator[SchemaRow]:
    hints = get_type_hints(kind)
    for field in attrs.fields(kind):
        key = f"{prefix}{field.name}"
        if key == "encoders":
            yield from _rows(HuggingFaceSettings, "encoders.NAME.")
            for other in OTHERS:
                yield from (row for row in _rows(other, "encoders.NAME.") if not row.key.endswith(".adapter"))
        elif is_plain(hints[field.name]):
            meaning = field.metadata.get("meaning", "")
            if kind in OTHERS:
                meaning = f"{OTHERS[kind]}: {meaning}"
            if key == "encoders.NAME.adapter":
                yield SchemaRow(key, f"one of {', '.join(map(repr, ENCODERS))}", '"huggingface"', meaning)
            else:
                yield SchemaRow(key, describe(hints[field.name]), _default(field), meaning)
        elif get_origin(hints[field.name]) is Mapping:
            yield from _rows(get_args(hints[field.name])[1], f"{key}.NAME.")
        else:
            yield from _rows(hints[field.name], f"{key}.")


def _default(field: Any) -> str:
    if field.default is attrs.NOTHING:
        return "required"
    if field.default is None:
        return "none"
    return json.dumps(field.default)

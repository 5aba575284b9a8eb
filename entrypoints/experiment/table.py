"""Every key of the schema as rows, for `fusionapp schema`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin, get_type_hints

import attrs

from fusionapp.entrypoints.experiment.schema import Experiment
from fusionapp.entrypoints.experiment.structure import ENCODERS
from fusionapp.entrypoints.experiment.types import describe, is_plain, listed_table, optional_table
from fusionapp.entrypoints.plugins import ENCODERS as ENCODER_PLUGINS, load_settings, plugin_names
from fusionapp.entrypoints.retrieval.schema import RetrievalExperiment
from fusionapp.entrypoints.routing.schema import RoutingExperiment


@attrs.frozen
class SchemaRow:
    """One key: its dotted path, its type in words, its default as TOML or "required", its meaning."""

    key: str
    type: str
    default: str
    meaning: str


def schema_rows() -> list[SchemaRow]:
    """Every key of an experiment, in file order: a classification's, then what the other tasks have otherwise."""
    rows = list(_rows(Experiment, ""))
    known = set(rows)
    others: tuple[tuple[str, type], ...] = (("retrieve", RetrievalExperiment), ("route", RoutingExperiment))
    return rows + [
        attrs.evolve(row, meaning=f"{task}: {row.meaning}")
        for task, experiment in others
        for row in _rows(experiment, "")
        if row not in known
    ]


def _rows(kind: type, prefix: str) -> Iterator[SchemaRow]:
    hints = get_type_hints(kind)
    for field in attrs.fields(kind):
        key, hint = f"{prefix}{field.name}", hints[field.name]
        meaning = field.metadata.get("meaning", "")
        if key == "encoders":
            yield from _encoder_rows()
        elif is_plain(hint):
            yield SchemaRow(key, describe(hint), _default(field), meaning)
        elif get_origin(hint) is Mapping:
            yield from _rows(get_args(hint)[1], f"{key}.NAME.")
        elif (entry := listed_table(hint)) is not None:
            yield from _rows(entry, f"{key}[].")
        else:
            yield from _rows(optional_table(hint) or hint, f"{key}.")


def _encoder_rows() -> Iterator[SchemaRow]:
    """The keys of every adapter; those of the default one first, the others' with their adapter's name."""
    theirs = {name: load_settings(name) for name in plugin_names(ENCODER_PLUGINS)}
    known = {**ENCODERS, **{name: kind for name, kind in theirs.items() if kind is not None}}
    for adapter, kind in known.items():
        for row in _rows(kind, "encoders.NAME."):
            if row.key != "encoders.NAME.adapter":
                meaning = row.meaning if adapter == "huggingface" else f"{adapter}: {row.meaning}"
                yield attrs.evolve(row, meaning=meaning)
            elif adapter == "huggingface":
                yield attrs.evolve(row, type=f"one of {', '.join(map(repr, known))}")


def _default(field: Any) -> str:
    if field.default is attrs.NOTHING:
        return "required"
    if field.default is None:
        return "none"
    return json.dumps(field.default)

"""From a plain dict to a frozen `Experiment`, with every problem reported at once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from difflib import get_close_matches
from typing import Any, TypeVar

import attrs
from cattrs import BaseValidationError, Converter, IterableValidationError
from cattrs.errors import ClassValidationError, ForbiddenExtraKeysError

from fusionapp.domain.errors import ConfigurationError
from fusionapp.entrypoints.experiment.encoder_tables import (
    EncoderSettings,
    HuggingFaceSettings,
    ImportedSettings,
    LexicalSettings,
    OnnxSettings,
    OpenAISettings,
    SentenceTransformersSettings,
)
from fusionapp.entrypoints.experiment.problems import Path, at, cause, dotted, drop, follows
from fusionapp.entrypoints.experiment.schema import Experiment
from fusionapp.entrypoints.experiment.types import is_plain, listed_table, match, shown
from fusionapp.entrypoints.plugins import ENCODERS as ENCODER_PLUGINS, load_settings, plugin_names
from fusionapp.entrypoints.retrieval.schema import RetrievalExperiment
from fusionapp.entrypoints.routing.schema import RoutingExperiment

ENCODERS: dict[str, type] = {
    "huggingface": HuggingFaceSettings,
    "sentence_transformers": SentenceTransformersSettings,
    "onnx": OnnxSettings,
    "openai": OpenAISettings,
    "lexical": LexicalSettings,
    "imported": ImportedSettings,
}

E = TypeVar("E", Experiment, RetrievalExperiment, RoutingExperiment)
AnyExperiment = Experiment | RetrievalExperiment | RoutingExperiment


def structure(raw: Mapping[str, Any]) -> Experiment:
    """The classification that a plain dict describes.

    Raises:
        ConfigurationError: as `structure_as`; another kind of task, too.
    """
    return structure_as(raw, Experiment)


def structure_any(raw: Mapping[str, Any]) -> AnyExperiment:
    """The experiment that a plain dict describes, of the kind that its ``task.kind`` names.

    Raises:
        ConfigurationError: as `structure_as`.
    """
    task = raw.get("task")
    kind = task.get("kind") if isinstance(task, Mapping) else None
    if kind == "retrieve":
        return structure_as(raw, RetrievalExperiment)
    if kind == "route":
        return structure_as(raw, RoutingExperiment)
    return structure_as(raw, Experiment)


def structure_as(raw: Mapping[str, Any], kind: type[E]) -> E:
    """The experiment of one kind that a plain dict describes.

    Raises:
        ConfigurationError: unknown keys, wrong types, values out of range and impossible combinations, all of
            them, each with its path.
    """
    content = deepcopy(dict(raw))
    problems: list[str] = []
    with attrs.validators.disabled():
        experiment = _structure_what_fits(content, problems, kind)
    if experiment is not None:
        problems += _out_of_range(experiment, ())
        problems += [line for line in experiment.problems() if not follows(line, problems)]
    if experiment is None or problems:
        raise ConfigurationError(list(dict.fromkeys(problems)))
    return experiment


def structure_encoder(table: Mapping[str, Any]) -> Any:
    """One ``[encoders.NAME]`` table, which was a part of a structured experiment before."""
    return _structure_encoder(_converter(), table)


def unstructure(experiment: AnyExperiment) -> dict[str, Any]:
    """The experiment as a plain dict of JSON values; `structure` gives the same experiment back."""
    plain: dict[str, Any] = json.loads(json.dumps(_converter().unstructure(experiment)))
    return plain


def _structure_what_fits(content: dict[str, Any], problems: list[str], kind: type[E]) -> E | None:
    """Report and drop keys that do not fit, so that the rest can be checked as well."""
    converter = _converter()
    while True:
        try:
            return converter.structure(content, kind)
        except BaseValidationError as error:
            found = list(_leaves(error, ()))
        problems += [f"{dotted(path)}: {message}" for path, message in found]
        dropped = [drop(content, cause(path)) for path, _ in found]
        if not any(dropped):
            return None


def _converter() -> Converter:
    converter = Converter(forbid_extra_keys=True, detailed_validation=True, unstruct_collection_overrides={})
    converter.register_structure_hook_func(is_plain, match)
    for primitive in (bool, int, float, str):  # cattrs would convert: int("3"), bool("false"), float("nan")
        converter.register_structure_hook(primitive, match)
    converter.register_structure_hook_func(
        attrs.has, lambda value, kind: _structure_table(converter, value, kind)
    )
    converter.register_structure_hook_func(
        lambda kind: listed_table(kind) is not None,
        lambda value, kind: _structure_list(converter, value, listed_table(kind)),
    )
    converter.register_structure_hook(EncoderSettings, lambda value, _: _structure_encoder(converter, value))
    encoders = Mapping[str, EncoderSettings]
    structure_each = converter.get_structure_hook(encoders)
    converter.register_structure_hook_func(
        lambda kind: kind == encoders, lambda value, kind: structure_each(_table(value), kind)
    )
    converter.register_unstructure_hook(tuple, lambda value: [converter.unstructure(item) for item in value])
    return converter


def _structure_table(converter: Converter, value: Any, kind: type) -> Any:
    from cattrs.gen import make_dict_structure_fn

    if isinstance(value, kind):
        return value
    build: Any = make_dict_structure_fn(kind, converter, _cattrs_forbid_extra_keys=True)
    return build(_table(value), kind)


def _structure_list(converter: Converter, value: Any, entry: Any) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"expected a list of tables, got {shown(value)}")
    return tuple(converter.structure(list(value), list[entry]))


def _table(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"expected a table, got {shown(value)}")
    return value


def _structure_encoder(converter: Converter, value: Any) -> Any:
    if attrs.has(type(value)):
        return value
    if not isinstance(value, Mapping):
        raise ValueError(f'expected a table such as {{model = "minilm"}}, got {shown(value)}')
    adapter = value.get("adapter", "huggingface")
    kind = settings_class(adapter) if isinstance(adapter, str) else None
    if kind is None:
        known = (*ENCODERS, *plugin_names(ENCODER_PLUGINS))
        raise _UnknownAdapterError(f"expected one of {', '.join(map(repr, known))}, got {shown(adapter)}")
    return _structure_table(converter, value, kind)


def settings_class(adapter: str) -> type | None:
    """What an encoder's table is structured as; another package's where it announces the adapter."""
    return ENCODERS.get(adapter) or load_settings(adapter)


class _UnknownAdapterError(ValueError):
    """A problem of an encoder's `adapter`, which decides what its table may hold."""


def _leaves(error: BaseException, path: Path) -> Iterator[tuple[Path, str]]:
    """Each single failure with the path of its key."""
    if isinstance(error, ClassValidationError):
        with_notes, others = error.group_exceptions()
        for inner, note in with_notes:
            yield from _leaves(inner, (*path, note.name))
        for inner in others:
            yield from _leaves(inner, path)
    elif isinstance(error, IterableValidationError):
        items, others = error.group_exceptions()
        for inner, position in items:
            place = position.index
            yield from _leaves(inner, (*path, at(place) if isinstance(place, int) else str(place)))
        for inner in others:
            yield from _leaves(inner, path)
    elif isinstance(error, ForbiddenExtraKeysError):
        for key in sorted(error.extra_fields):
            yield (*path, key), _unknown(key, error.cl)
    elif isinstance(error, _UnknownAdapterError):
        yield (*path, "adapter"), str(error)
    elif isinstance(error, KeyError):
        key = str(error.args[0])
        yield path if path and path[-1] == key else (*path, key), "missing"
    else:
        yield path, str(error)


def _unknown(key: str, kind: type) -> str:
    known = [field.name for field in attrs.fields(kind)]
    near = get_close_matches(key, known, n=1)
    return f"unknown key; did you mean {near[0]!r}?" if near else f"unknown key; known are {', '.join(known)}"


def _out_of_range(value: Any, path: Path) -> Iterator[str]:
    """Run the attrs validators of every table and report all that fail."""
    if isinstance(value, tuple):
        for place, inner in enumerate(value):
            yield from _out_of_range(inner, (*path, at(place)))
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _out_of_range(inner, (*path, str(key)))
    if not attrs.has(type(value)):
        return
    for field in attrs.fields(type(value)):
        inner = getattr(value, field.name)
        yield from _out_of_range(inner, (*path, field.name))
        if field.validator is not None:
            try:
                field.validator(value, field, inner)
            except (ValueError, TypeError) as error:
                yield f"{dotted((*path, field.name))}: {_plain(error, field.name)}"


def _plain(error: Exception, name: str) -> str:
    """An attrs validator's message without the parts that only a programmer reads."""
    return str(error.args[0]).replace(f"'{name}' ", "", 1)

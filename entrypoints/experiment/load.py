"""Reading an experiment: file, ``--set``, flags, environment and ``.env``, in that order of weakness."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fusionapp.domain.errors import UsageError
from fusionapp.entrypoints.experiment.kinds import TAKEN
from fusionapp.entrypoints.experiment.schema import Experiment
from fusionapp.entrypoints.experiment.structure import AnyExperiment, structure_any

Source = str | os.PathLike[str] | Mapping[str, Any] | AnyExperiment


def load_experiment(
    source: Source | None,
    sets: Sequence[str] = (),
    flags: Mapping[str, Any] | None = None,
    defaults: Mapping[str, Any] | None = None,
    chosen_encoders: Sequence[str] = (),
    device: str | None = None,
) -> Experiment:
    """The classification that a file, a dict, a run directory or nothing but flags describes.

    Args are those of `load_any`.

    Raises:
        UsageError: as `load_any`; it is an experiment of another kind of task, too.
        ConfigurationError: the experiment has problems.
    """
    return only_classification(load_any(source, sets, flags, defaults, chosen_encoders, device))


def load_any(
    source: Source | None,
    sets: Sequence[str] = (),
    flags: Mapping[str, Any] | None = None,
    defaults: Mapping[str, Any] | None = None,
    chosen_encoders: Sequence[str] = (),
    device: str | None = None,
) -> AnyExperiment:
    """The experiment, of any kind of task, that a file, a dict, a run directory or nothing but flags describes.

    Args:
        source: a TOML, JSON or YAML file, a run directory, a dict, an `Experiment`, or None.
        sets: ``a.b=c`` overrides, stronger than the source.
        flags: dotted keys and values, stronger than `sets`.
        defaults: dotted keys and values, weaker than the source (the environment's).
        chosen_encoders: use these alone: names in the source, else aliases, hub ids or "lexical".
        device: device of every encoder and of training.

    Raises:
        UsageError: the file is missing or cannot be parsed, or an override is malformed.
        ConfigurationError: the experiment has problems.
    """
    return named_experiment(read_content(source, sets, flags, defaults, chosen_encoders, device), source)


def only_classification(experiment: AnyExperiment) -> Experiment:
    """The experiment, where it is a classification.

    Raises:
        UsageError: it is not.
    """
    if isinstance(experiment, Experiment):
        return experiment
    raise UsageError(
        f'task.kind: this is for "classify", and experiment {experiment.name!r} is of kind '
        f"{experiment.task.kind!r}, which {TAKEN[experiment.task.kind]} take"
    )


def named_experiment(content: dict[str, Any], source: Source | None) -> AnyExperiment:
    """The experiment that a plain dict describes, with a name made from it where it comes from flags alone.

    Raises:
        ConfigurationError: the experiment has problems.
    """
    if source is None:
        content.setdefault("name", _name(content))
    return structure_any(content)


def read_content(
    source: Source | None,
    sets: Sequence[str] = (),
    flags: Mapping[str, Any] | None = None,
    defaults: Mapping[str, Any] | None = None,
    chosen_encoders: Sequence[str] = (),
    device: str | None = None,
) -> dict[str, Any]:
    """The plain dict that `load_experiment` structures, from the same arguments.

    Raises:
        UsageError: the file is missing or cannot be parsed, or an override is malformed.
    """
    content = _content(source)
    for key, value in (defaults or {}).items():
        if _get(content, key) is None:
            _put(content, key, value)
    if chosen_encoders:
        content["encoders"] = _choose_encoders(content.get("encoders"), chosen_encoders)
    for assignment in sets:
        key, equals, text = assignment.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"--set {assignment}: expected KEY=VALUE, such as --set train.seeds=3")
        _put(content, key.strip(), parse_value(text.strip()))
    for key, value in (flags or {}).items():
        _put(content, key, value)
    if device is not None:
        _put_device(content, device)
    return content


def runs_directory(source: Source | None, runs: str | os.PathLike[str]) -> str:
    """The directory of run directories: the parent where `source` is one of them, else `runs`."""
    if isinstance(source, str | os.PathLike) and Path(source).is_dir():
        return os.path.normpath(Path(source, os.pardir))
    return os.fspath(runs)


def _choose_encoders(present: Any, chosen: Sequence[str]) -> dict[str, Any]:
    tables = present if isinstance(present, Mapping) else {}
    encoders = {}
    for name in chosen:
        if name in tables:
            encoders[name] = tables[name]
        elif name == "lexical":
            encoders[name] = {"adapter": "lexical"}
        else:
            short = plain_name(name)
            encoders[short if short not in encoders else f"{short}-{len(encoders)}"] = {"model": name}
    return encoders


_ON_DEVICES = ("huggingface", "sentence_transformers", "onnx")
"""Adapters whose encoders compute on a device of this machine."""


def _put_device(content: dict[str, Any], device: str) -> None:
    _put(content, "train.device", device)
    encoders = content.get("encoders")
    for encoder in encoders.values() if isinstance(encoders, dict) else ():
        if isinstance(encoder, dict) and encoder.get("adapter", "huggingface") in _ON_DEVICES:
            encoder["device"] = device


def _name(content: Mapping[str, Any]) -> str:
    """A name for an experiment that only flags describe: ``r52-gemma-e5-quaternion``."""
    dataset = _get(content, "dataset.name") or _get(content, "dataset.train") or "experiment"
    parts = [Path(str(dataset)).name.split(".")[0], *(content.get("encoders") or ())]
    return plain_name("-".join([*parts, str(_get(content, "fusion.kind") or "concat")]))[:100]


def plain_name(text: str) -> str:
    """The last part of a path, a hub id or a name, with nothing in it that a file's name should not hold."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text.rstrip("/").rsplit("/", 1)[-1]).strip("-.") or "encoder"


def parse_value(text: str) -> Any:
    """A ``--set`` value: as TOML where it parses (numbers, true, lists, tables, quoted strings), else itself."""
    try:
        parsed = tomllib.loads(f"value = {text}")
    except (tomllib.TOMLDecodeError, RecursionError):
        return text
    return parsed["value"] if len(parsed) == 1 else text


def _content(source: Source | None) -> dict[str, Any]:
    if source is None:
        return {}
    if isinstance(source, AnyExperiment):
        from fusionapp.entrypoints.experiment.structure import unstructure

        return unstructure(source)
    if isinstance(source, Mapping):
        copied: dict[str, Any] = json.loads(json.dumps(dict(source), default=_listed))
        return copied
    return read_file(Path(source))


def _listed(value: Any) -> Any:
    if isinstance(value, tuple | set | frozenset):
        return list(value)
    return os.fspath(value)


def read_file(path: Path) -> dict[str, Any]:
    """The plain dict in an experiment file, or in a run directory's ``experiment.json``.

    A run directory gives the experiment its own name, as it may have been copied or renamed.

    Raises:
        UsageError: no such file, or it is not TOML, JSON or YAML as its suffix says.
    """
    if path.is_dir():
        resolved = path / "experiment.json"
        if not resolved.exists():
            raise UsageError(f"{path}: not a run directory (no experiment.json); name an experiment file")
        return {**read_file(resolved), "name": path.resolve().name}
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UsageError(f"{path}: no such experiment file or run directory") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read as text: {error}") from error
    return _parse(text, path)


def _parse(text: str, path: Path) -> dict[str, Any]:
    try:
        if path.suffix == ".json":
            content = json.loads(text)
        elif path.suffix in (".yaml", ".yml"):
            import yaml

            try:
                content = yaml.safe_load(text)
            except yaml.YAMLError as error:
                raise ValueError(str(error)) from error
        else:
            content = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: cannot be parsed: {error}") from error
    if not isinstance(content, dict):
        raise UsageError(f"{path}: expected a table of settings, got {type(content).__name__}")
    return content


def _get(content: Mapping[str, Any], key: str) -> Any:
    place: Any = content
    for part in key.split("."):
        if not isinstance(place, Mapping):
            return None
        place = place.get(part)
    return place


def _put(content: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    place = content
    for part in parents:
        inner = place.setdefault(part, {})
        if not isinstance(inner, dict):
            raise UsageError(f"{key}: cannot be set, because {part!r} is not a table")
        place = inner
    place[last] = value

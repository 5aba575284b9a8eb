"""The ``[sweep]`` table: encoder sets, fusions, datasets and training settings, each a list of choices."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from itertools import combinations
from typing import Any

import attrs

from fusionapp.entrypoints.experiment.names import NAME_PATTERN
from fusionapp.entrypoints.experiment.table import SchemaRow
from fusionapp.entrypoints.experiment.types import shown

WORDS = ("singles", "pairs", "all")
KEYS = ("encoders", "fusions", "datasets", "train")

Table = Mapping[str, Any]

SWEEP_ROWS = (
    SchemaRow(
        "sweep.encoders",
        "'singles', 'pairs', 'all', or a list of these and of lists of encoder names",
        '"all"',
        "encoder sets; each is fused in its own order",
    ),
    SchemaRow(
        "sweep.fusions",
        "a list of fusion kinds and of tables",
        "[{}]",
        "each is laid over [fusion]",
    ),
    SchemaRow("sweep.datasets.NAME", "a table", "none", "each is laid over [dataset]"),
    SchemaRow("sweep.train", "a list of tables", "[{}]", "training settings; each is laid over [train]"),
)
"""The keys of ``[sweep]`` for `fusionapp schema`."""


@attrs.frozen
class Axes:
    """The choices of a sweep, before any of them is judged.

    Attributes:
        encoders: sets of encoder names, each in fusion order.
        fusions: by path in the file ("sweep.fusions.0"), a table that is laid over ``[fusion]``.
        datasets: by path, a table that is laid over ``[dataset]``; empty where there is but the one.
        train: by path, a table that is laid over ``[train]``.
    """

    encoders: Sequence[tuple[str, ...]]
    fusions: Mapping[str, Table]
    datasets: Mapping[str, Table]
    train: Mapping[str, Table]


def read_axes(table: Any, names: Sequence[str], problems: list[str]) -> Axes:
    """The choices that a ``[sweep]`` table lists.

    Args:
        table: as it stands in the file.
        names: of the encoders, in file order.
        problems: receives a line for everything that does not fit; what fits is returned all the same.
    """
    if not isinstance(table, Mapping):
        said = "missing" if table is None else f"expected a table, got {shown(table)}"
        problems.append(f'sweep: {said}; add a table such as [sweep] with encoders = "pairs"')
        table = {}
    for key in sorted(set(table) - set(KEYS)):
        near = get_close_matches(key, KEYS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(KEYS)}"
        problems.append(f"sweep.{key}: unknown key; {hint}")
    return Axes(
        encoders=_encoder_sets(table.get("encoders", "all"), names, problems),
        fusions=_fusions(table.get("fusions"), problems),
        datasets=_datasets(table.get("datasets"), problems),
        train=_listed("sweep.train", table.get("train"), "[{}, {learning_rate = 1e-4}]", problems),
    )


def _encoder_sets(value: Any, names: Sequence[str], problems: list[str]) -> list[tuple[str, ...]]:
    """Sets in the order of the file; one that is named twice is one."""
    entries = {"sweep.encoders": value}
    if isinstance(value, list | tuple):
        entries = {f"sweep.encoders.{index}": entry for index, entry in enumerate(value)}
        if not value:
            problems.append(
                'sweep.encoders: is empty; leave it out for all encoders together, or write "pairs"'
            )
    found: list[tuple[str, ...]] = []
    for path, entry in entries.items():
        if isinstance(entry, str) and entry in WORDS:
            found += _worded(path, entry, names, problems)
        elif isinstance(entry, list | tuple) and entry and all(isinstance(name, str) for name in entry):
            problems += _set_problems(path, list(entry), names)
            found.append(tuple(entry))
        else:
            problems.append(
                f"{path}: expected 'singles', 'pairs', 'all' or a list of encoder names, got {shown(entry)}"
            )
    return list(dict.fromkeys(found))


def _worded(path: str, word: str, names: Sequence[str], problems: list[str]) -> list[tuple[str, ...]]:
    if word == "singles":
        return [(name,) for name in names]
    if word == "all":
        return [tuple(names)] if names else []
    if len(names) < 2:
        problems.append(f"{path}: 'pairs' needs two encoders; the file names {len(names)}")
    return list(combinations(names, 2))


def _set_problems(path: str, chosen: Sequence[str], names: Sequence[str]) -> list[str]:
    found = []
    for name in dict.fromkeys(chosen):
        if name not in names:
            near = get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(names) or 'none'}"
            found.append(f"{path}: no encoder is called {name!r}; {hint}")
        if chosen.count(name) > 1:
            found.append(f"{path}: {name!r} stands there {chosen.count(name)} times; once is enough")
    return found


def _fusions(value: Any, problems: list[str]) -> dict[str, Table]:
    example = '["concat", {kind = "quaternion", residual = true}]'
    if isinstance(value, list | tuple):
        value = [{"kind": entry} if isinstance(entry, str) else entry for entry in value]
    return _listed("sweep.fusions", value, example, problems)


def _listed(path: str, value: Any, example: str, problems: list[str]) -> dict[str, Table]:
    """Tables of a list by their paths; absent, one that changes nothing."""
    if value is None:
        return {path: {}}
    if not isinstance(value, list | tuple) or not value:
        problems.append(f"{path}: expected a list such as {example}, got {shown(value)}")
        return {path: {}}
    found = {f"{path}.{index}": entry for index, entry in enumerate(value)}
    problems += [
        f"{key}: expected a table, got {shown(entry)}"
        for key, entry in found.items()
        if not isinstance(entry, Mapping)
    ]
    return {key: entry for key, entry in found.items() if isinstance(entry, Mapping)} or {path: {}}


def _datasets(value: Any, problems: list[str]) -> dict[str, Table]:
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not value:
        problems.append(
            f'sweep.datasets: expected tables such as [sweep.datasets.r8] with name = "r8", got {shown(value)}'
        )
        return {}
    found = {}
    for name, entry in value.items():
        path = f"sweep.datasets.{name}"
        if not re.fullmatch(NAME_PATTERN, name):
            problems.append(f"{path}: {name!r} is not a name; use at most 100 letters, digits, '.', '_', '-'")
        elif not isinstance(entry, Mapping):
            problems.append(f"{path}: expected a table, got {shown(entry)}")
        else:
            found[path] = entry
    return found

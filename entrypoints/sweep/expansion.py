"""From a sweep file to the experiments that it stands for, with every problem reported at once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from fusionapp.domain.errors import ConfigurationError
from fusionapp.domain.fusion.spec import FusionSpec
from fusionapp.domain.recipe import TrainingRecipe
from fusionapp.entrypoints.experiment.environment import read_environment
from fusionapp.entrypoints.experiment.kinds import refuse_other
from fusionapp.entrypoints.experiment.load import Source, read_content
from fusionapp.entrypoints.experiment.schema import Experiment
from fusionapp.entrypoints.experiment.structure import structure
from fusionapp.entrypoints.sweep.cells import (
    Cell,
    Choices,
    DatasetChoice,
    FusionChoice,
    TrainChoice,
    combine,
)
from fusionapp.entrypoints.sweep.names import describe_choice
from fusionapp.entrypoints.sweep.schema import Axes, Table, read_axes


@attrs.frozen
class Sweep:
    """A sweep, whole.

    Attributes:
        name: names the directory of its cells.
        content: the file, overrides included.
        cells: in the order in which they are run: by dataset, controls before what is held against them.
        draws: bootstrap draws of the leaderboard.
    """

    name: str
    content: Mapping[str, Any]
    cells: Sequence[Cell]
    draws: int


def load_sweep(source: Source, sets: Sequence[str] = (), device: str | None = None) -> Sweep:
    """The sweep that a file or a dict describes.

    Args:
        source: a TOML, JSON or YAML file, or a dict: an experiment's tables, shared by all cells, and ``[sweep]``.
        sets: ``a.b=c`` overrides, stronger than the source.
        device: device of every encoder and of training.

    Raises:
        UsageError: the file is missing or cannot be parsed, an override is malformed, or it sweeps retrieval.
        ConfigurationError: the sweep has problems.
    """
    content = read_content(source, sets, defaults=read_environment().defaults(), device=device)
    refuse_other("sweep", content)
    return expand(content)


def expand(content: Mapping[str, Any]) -> Sweep:
    """The sweep that a plain dict describes.

    Raises:
        ConfigurationError: everything that is wrong with the shared tables and with each choice, with its path.
    """
    problems: list[str] = []
    base = {"name": "sweep", **{key: value for key, value in content.items() if key != "sweep"}}
    encoders = base.get("encoders")
    axes = read_axes(content.get("sweep"), list(encoders) if isinstance(encoders, Mapping) else [], problems)
    variants = _variants(base, axes, problems)
    problems += _incomparable(base, axes)
    if problems:
        raise ConfigurationError(list(dict.fromkeys(problems)))
    shared = variants[0]
    cells = combine(shared, _choices(base, axes, variants))
    problems = [f"{cell.name}: {line}" for cell in cells for line in cell.experiment.problems()]
    if problems:
        raise ConfigurationError(problems)
    return Sweep(shared.name, json.loads(json.dumps(dict(content))), cells, shared.evaluate.draws)


def _variants(base: Mapping[str, Any], axes: Axes, problems: list[str]) -> list[Experiment]:
    """Experiments that between them hold every choice, so that each is checked.

    Choices of different axes are checked side by side, so there are as many as the longest axis is long. The
    first has the shared ``[train]`` and plain concatenation by the shared ``[fusion]``, as controls have; the
    choices of these axes follow. Datasets begin at the first.
    """
    axis = {
        "dataset": axes.datasets or {"": {}},
        "fusion": {"": {"kind": "concat", "residual": False}, **axes.fusions},
        "train": {"": {}, **axes.train},
    }
    found = []
    for position in range(max(map(len, axis.values()))):
        chosen = {key: list(tables.items())[position % len(tables)] for key, tables in axis.items()}
        laid = {key: _over(base.get(key), own) for key, (_, own) in chosen.items()}
        try:
            found.append(structure({**base, **laid}))
        except ConfigurationError as error:
            problems += [_located(line, base, chosen) for line in error.problems]
    return found


def _over(shared: Any, own: Table) -> Any:
    """A choice laid over the shared table; what is no table is left for `structure` to refuse."""
    if shared is None:
        return dict(own)
    return {**shared, **own} if isinstance(shared, Mapping) else shared


def _located(line: str, base: Mapping[str, Any], chosen: Mapping[str, tuple[str, Table]]) -> str:
    """A problem by its path in the sweep file: in the choice's own table, unless the shared one says it."""
    path, colon, said = line.partition(":")
    key, _, rest = path.partition(".")
    place, own = chosen.get(key, ("", {}))
    setting, shared = rest.split(".")[0], base.get(key)
    inherited = isinstance(shared, Mapping) and setting in shared and setting not in own
    return line if not place or not rest or inherited else f"{place}.{rest}{colon}{said}"


def _incomparable(base: Mapping[str, Any], axes: Axes) -> Iterator[str]:
    """Settings by which cells of a dataset would not be judged on the same rows."""
    for path, table in axes.train.items():
        if "validation_fraction" in table:
            yield (
                f"{path}.validation_fraction: cells are ranked on the same validation rows; set it in [train] "
                "for all of them"
            )
    shared = base.get("dataset")
    tables = {"dataset": shared} if isinstance(shared, Mapping) else {}
    for path, table in {**tables, **axes.datasets}.items():
        for key in ("folds", "shots"):
            if table.get(key) is not None:
                yield f"{path}.{key}: a sweep judges its cells on one test split; leave it out, or use `train`"


def _choices(base: Mapping[str, Any], axes: Axes, variants: Sequence[Experiment]) -> Choices:
    return Choices(
        encoders=axes.encoders,
        fusions=[
            FusionChoice(
                " ".join(
                    [variant.fusion.kind, describe_choice(table or base.get("fusion", {}), FusionSpec)]
                ).strip(),
                variant.fusion,
            )
            for table, variant in zip(axes.fusions.values(), variants[1:], strict=False)
        ],
        datasets=_dataset_choices(axes, variants),
        train=[
            TrainChoice(describe_choice(table, TrainingRecipe), variant.train)
            for table, variant in zip(axes.train.values(), variants[1:], strict=False)
        ],
    )


def _dataset_choices(axes: Axes, variants: Sequence[Experiment]) -> list[DatasetChoice]:
    if not axes.datasets:
        only = variants[0].dataset
        return [DatasetChoice("", only.name or variants[0].name, only)]
    names = [path.removeprefix("sweep.datasets.") for path in axes.datasets]
    return [
        DatasetChoice(name, name, variant.dataset) for name, variant in zip(names, variants, strict=False)
    ]

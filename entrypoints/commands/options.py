"""Options that several commands share, and how they become an experiment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from fusionapp.entrypoints.experiment.schema import Experiment
from fusionapp.entrypoints.experiment.structure import AnyExperiment

F = TypeVar("F", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
runs_option = click.option(
    "--runs", default="runs", show_default=True, help="Directory that holds the run directories."
)
overwrite_option = click.option(
    "--overwrite", is_flag=True, help="Replace what an earlier experiment of the same name left."
)

# flag, dotted key, help
FLAGS = (
    ("--name", "name", "Name of the run directory."),
    ("--dataset", "dataset.name", "DatasetDict directory, its name under DATA_DIR, or hub name."),
    ("--train-file", "dataset.train", "Training file (.csv, .tsv, .jsonl, .parquet; .gz too)."),
    ("--validation-file", "dataset.validation", "Validation file; default: a part of train."),
    ("--test-file", "dataset.test", "Test file."),
    ("--text", "dataset.text", "Text column."),
    ("--label", "dataset.label", "Label column."),
    ("--fusion", "fusion.kind", "Fusion kind."),
    ("--storage", "storage.adapter", "Storage adapter: npy or parquet."),
    ("--executor", "extract.executor", "Where encoders run: local, processes or ray."),
    ("--workers", "extract.workers", "How many processes or Ray actors."),
    ("--seeds", "train.seeds", "How many seeds."),
)


def is_quiet() -> bool:
    """Whether the group's ``--quiet`` was given."""
    return bool(click.get_current_context().obj["quiet"])


def experiment_options(function: F) -> F:
    """EXPERIMENT, ``--set`` and the flags of the most common keys; the command receives `overrides`."""
    for flag, key, text in reversed(FLAGS):
        kind = int if key in ("train.seeds", "extract.workers") else str
        function = click.option(flag, _parameter(key), type=kind, help=f"{text} [{key}]")(function)
    function = click.option(
        "--encoder",
        "encoders",
        multiple=True,
        help="Encoder of the experiment, or an alias of `fusionapp encoders`; may be given several times.",
    )(function)
    function = click.option(
        "--device",
        help="Device of encoders and training: auto, cpu, cuda:0. [encoders.*.device, train.device]",
    )(function)
    function = click.option(
        "--set", "sets", multiple=True, metavar="KEY=VALUE", help="Set any key of `fusionapp schema`."
    )(function)
    return click.argument("experiment", required=False, type=click.Path(path_type=Path))(function)


def _parameter(key: str) -> str:
    return "flag_" + key.replace(".", "_")


def experiment_from(
    experiment: Path | None,
    sets: tuple[str, ...],
    encoders: tuple[str, ...],
    device: str | None,
    **flags: Any,
) -> Experiment:
    """The classification that a command line describes.

    Raises:
        UsageError, ConfigurationError: as `load_experiment` says.
    """
    from fusionapp.entrypoints.experiment.load import only_classification

    return only_classification(any_experiment_from(experiment, sets, encoders, device, **flags))


def any_experiment_from(
    experiment: Path | None,
    sets: tuple[str, ...],
    encoders: tuple[str, ...],
    device: str | None,
    **flags: Any,
) -> AnyExperiment:
    """The experiment, of any kind of task, that a command line describes.

    Raises:
        UsageError, ConfigurationError: as `load_any` says.
    """
    from fusionapp.entrypoints.experiment.environment import read_environment
    from fusionapp.entrypoints.experiment.load import load_any

    return load_any(
        experiment,
        sets=sets,
        flags=given(flags),
        defaults=read_environment().defaults(),
        chosen_encoders=encoders,
        device=device,
    )


def content_from(
    experiment: Path | None,
    sets: tuple[str, ...],
    device: str | None,
    encoders: tuple[str, ...] = (),
    **flags: Any,
) -> dict[str, Any]:
    """The same as a plain dict, for a command that completes it.

    Raises:
        UsageError: as `read_content` says.
    """
    from fusionapp.entrypoints.experiment.environment import read_environment
    from fusionapp.entrypoints.experiment.load import read_content

    defaults = read_environment().defaults()
    return read_content(
        experiment,
        sets=sets,
        flags=given(flags),
        defaults=defaults,
        chosen_encoders=encoders,
        device=device,
    )


def given(flags: dict[str, Any]) -> dict[str, Any]:
    """The dotted keys that flags of `experiment_options` set, and their values."""
    found: dict[str, Any] = {
        key: flags[_parameter(key)] for _, key, _ in FLAGS if flags.get(_parameter(key)) is not None
    }
    if "dataset.name" in found:
        found["dataset.source"] = "huggingface"
    if "dataset.train" in found:
        found["dataset.source"] = "files"
    return found

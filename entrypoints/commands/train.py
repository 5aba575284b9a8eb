"""`fusionapp train`: train fusion heads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fusionapp.entrypoints.commands.options import (
    experiment_from,
    experiment_options,
    is_quiet,
    json_option,
    overwrite_option,
    runs_option,
)


@click.command("train")
@experiment_options
@runs_option
@overwrite_option
@json_option
def command(
    runs: str,
    overwrite: bool,
    as_json: bool,
    experiment: Path | None,
    sets: tuple[str, ...],
    encoders: tuple[str, ...],
    device: str | None,
    **flags: Any,
) -> None:
    """Train the fusion heads of EXPERIMENT, all seeds at once, extracting first what is missing.

    EXPERIMENT is a file or a run directory. Training stops and chooses on validation alone.
    Heads, curves and the resolved experiment go to RUNS/NAME.
    """
    settings = experiment_from(experiment, sets, encoders, device, **flags)
    from fusionapp.entrypoints import api
    from fusionapp.entrypoints.experiment.load import runs_directory
    from fusionapp.entrypoints.output import print_json, print_table
    from fusionapp.entrypoints.reports import training_json

    runs = runs_directory(experiment, runs)
    training = api.train(settings, runs=runs, overwrite=overwrite, quiet=is_quiet())
    if as_json:
        print_json(training_json(training))
        return
    metrics = list(training.heads[0].validation)
    print_table(
        ("seed", "best epoch", *(f"validation {metric}" for metric in metrics), "directory"),
        [
            (
                str(head.seed),
                f"{head.best_epoch} of {head.epochs}",
                *(f"{head.validation[metric]:.4f}" for metric in metrics),
                head.directory,
            )
            for head in training.heads
        ],
    )
    reused = " (trained before, reused)" if training.reused else ""
    click.echo(f"{len(training.heads)} heads of {training.heads[0].parameters:,} parameters ", nl=False)
    click.echo(f"in {training.seconds:.1f} s{reused}")

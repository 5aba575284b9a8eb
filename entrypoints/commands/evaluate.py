"""`fusionapp evaluate`: score the test split beside its controls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fusionapp.entrypoints.commands.options import (
    any_experiment_from,
    experiment_options,
    is_quiet,
    json_option,
    overwrite_option,
    runs_option,
)
from fusionapp.entrypoints.commands.tasks import task_module
from fusionapp.entrypoints.experiment.schema import Experiment


@click.command("evaluate")
@experiment_options
@click.option("--split", default="test", show_default=True, help="Which split is scored.")
@click.option(
    "--on", "other", type=click.Path(path_type=Path), help="Score this file instead, without controls."
)
@runs_option
@overwrite_option
@json_option
def command(
    split: str,
    other: Path | None,
    runs: str,
    overwrite: bool,
    as_json: bool,
    experiment: Path | None,
    sets: tuple[str, ...],
    encoders: tuple[str, ...],
    device: str | None,
    **flags: Any,
) -> None:
    """Score the trained EXPERIMENT (a file or a run directory) on its test split, beside its controls.

    Controls are the linear path alone, each source alone, plain concatenation, a tuned linear SVM and a tuned
    logistic regression. Every number comes with a 95 % interval (paired bootstrap over examples), every comparison
    with a verdict: better, worse or not separable. A second call prints what the first one found; --overwrite
    scores again. A retrieval's dataset without train needs no training: its encoder is judged as it comes.
    """
    settings = any_experiment_from(experiment, sets, encoders, device, **flags)
    from fusionapp.entrypoints.experiment.load import runs_directory

    if not isinstance(settings, Experiment):
        if other is not None:
            raise click.UsageError(
                "--on scores labelled texts, which this experiment has none of; use --split"
            )
        task_module(settings, "commands").evaluate(
            settings, split, runs_directory(experiment, runs), overwrite, as_json
        )
        return
    from fusionapp.entrypoints import api
    from fusionapp.entrypoints.output import print_json, print_leaderboard
    from fusionapp.entrypoints.reports import evaluation_json

    runs = runs_directory(experiment, runs)
    if other is not None:
        evaluation = api.evaluate_file(settings, other, runs=runs, quiet=is_quiet())
    else:
        evaluation = api.evaluate(settings, split=split, runs=runs, overwrite=overwrite, quiet=is_quiet())
    if as_json:
        print_json(evaluation_json(evaluation))
    else:
        print_leaderboard(evaluation)

"""`fusionapp train`: train fusion heads."""

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


@click.command("train")
@experiment_options
@click.option(
    "--search",
    "trials",
    type=click.IntRange(min=1),
    help="Tune the settings on validation first: so many trials, the experiment's own settings being one.",
)
@click.option(
    "--search-seconds",
    type=click.FloatRange(min=0, min_open=True),
    help="Start no trial once all of them took so long.",
)
@click.option("--search-fusion", is_flag=True, help="Search the kind of fusion, too.")
@runs_option
@overwrite_option
@json_option
def command(
    trials: int | None,
    search_seconds: float | None,
    search_fusion: bool,
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

    EXPERIMENT is a file or a run directory. Training stops and chooses on validation alone. Heads add to a linear
    path (train.linear_path), which is fitted on train and scores it out of fold. Heads, curves and the resolved
    experiment go to RUNS/NAME. With dataset.folds or dataset.shots, each fold or draw is a run of its own in
    RUNS/NAME/protocol.

    With train.tune_encoders the heads of frozen encoders come first, in RUNS/NAME/frozen; encoders are then tuned
    together with them, once for all seeds, and kept in RUNS/NAME/encoders where validation improves.

    --search keeps its trials in RUNS/NAME/search.json and goes on from there when it is called again. The best
    trial's settings take the place of the experiment's own only where, trained anew, they gain more than one
    standard error; from then on they are the run's settings, for evaluate and predict as well.
    """
    if trials is None and (search_seconds is not None or search_fusion):
        raise click.UsageError("--search-seconds and --search-fusion go with --search N")
    settings = any_experiment_from(experiment, sets, encoders, device, **flags)
    from fusionapp.entrypoints.experiment.load import runs_directory

    if not isinstance(settings, Experiment):
        if trials is not None:
            raise click.UsageError("--search tunes fusion heads, and this experiment has none")
        task_module(settings, "commands").train(
            settings, runs_directory(experiment, runs), overwrite, as_json
        )
        return
    from fusionapp.entrypoints import api
    from fusionapp.entrypoints.output import print_json, print_table
    from fusionapp.entrypoints.reports import training_json
    from fusionapp.entrypoints.searching import decision_toml, search_json, search_sentence
    from fusionapp.entrypoints.tuning import tuning_sentences

    runs = runs_directory(experiment, runs)
    budget = None if trials is None else api.SearchBudget(trials, search_seconds, search_fusion)
    training = api.train(settings, runs=runs, overwrite=overwrite, quiet=is_quiet(), search=budget)
    search = None if budget is None else api.search_of(settings, runs)
    tuning = api.tuning_of(settings, runs)
    if as_json:
        more = {} if search is None else {"search": search_json(search)}
        print_json(training_json(training) | more | ({} if tuning is None else {"tuning": tuning}))
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
    if training.path is not None:
        click.echo(
            f"they add to a linear path (C={training.path.cost:g}), which alone reaches a validation accuracy of "
            f"{training.path.validation:.4f} in {training.path.seconds:.1f} s"
        )
    for sentence in () if tuning is None else tuning_sentences(tuning):
        click.echo(sentence)
    if search is not None and search.decision is not None:
        click.echo(search_sentence(search))
        click.echo(
            f"settings of the run, to be pasted into an experiment file:\n\n{decision_toml(search.decision)}"
        )

"""What `train` and `evaluate` print of an experiment of ``kind = "route"``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from fusionapp.entrypoints.commands.options import is_quiet
from fusionapp.entrypoints.output import print_json, print_table
from fusionapp.entrypoints.routing import api
from fusionapp.entrypoints.routing.reports import (
    COLUMNS,
    VERDICT_COLUMNS,
    balance_rows,
    evaluation_json,
    leaderboard_rows,
    reading,
    training_json,
    tuning_sentence,
    verdict_rows,
)
from fusionapp.entrypoints.routing.schema import RoutingExperiment


def train(settings: RoutingExperiment, runs: str, overwrite: bool, as_json: bool) -> None:
    """Train the routers."""
    training = api.train(settings, runs=runs, overwrite=overwrite, quiet=is_quiet())
    if as_json:
        print_json(training_json(training))
        return
    metrics = list(training.routers[0].validation)
    print_table(
        ("seed", "best epoch", *(f"validation {metric}" for metric in metrics), "directory"),
        [
            (
                str(router.seed),
                f"{router.best_epoch} of {router.epochs}",
                *(f"{router.validation[metric]:.4f}" for metric in metrics),
                router.directory,
            )
            for router in training.routers
        ],
    )
    if training.balance is not None:
        _show_balance(training.balance)
    if training.tuning is not None:
        click.echo(tuning_sentence(training.tuning))
    reused = " (trained before, reused)" if training.reused else ""
    click.echo(f"{len(training.routers)} routers in {training.seconds:.1f} s{reused}")


def evaluate(settings: RoutingExperiment, split: str, runs: str, overwrite: bool, as_json: bool) -> None:
    """Score a split beside the controls."""
    evaluation = api.evaluate(settings, split=split, runs=runs, overwrite=overwrite, quiet=is_quiet())
    if as_json:
        print_json(evaluation_json(evaluation))
        return
    title = f"{split}: {evaluation.prompts:,} prompts, {len(evaluation.models)} models"
    print_table(COLUMNS, leaderboard_rows(evaluation), title, numbers_from=1)
    for name, said in evaluation.verdicts.items():
        difference = evaluation.differences[name]
        click.echo(
            f"the router is {said} {'from' if said == 'not separable' else 'than'} {name}: quality "
            f"{difference.estimate:+.4f} [{difference.interval.low:+.4f}, {difference.interval.high:+.4f}]"
        )
    if others := verdict_rows(evaluation):
        print_table(VERDICT_COLUMNS, others, numbers_from=len(VERDICT_COLUMNS))
    click.echo(reading(evaluation))


def _show_balance(weighed: Mapping[str, Any]) -> None:
    """How battles are weighed, where some models are rarer than others."""
    rows = balance_rows(weighed)
    if len({comparisons for _, comparisons, *_ in rows}) > 1:
        print_table(("model", "comparisons", "share", "share as drawn"), rows)
        click.echo(
            f"{weighed['battles']:,} battles in train, drawn by their rarer model: they say as much as "
            f"{weighed['effective']:,.0f} alike (train.balance_model_samples)"
        )

"""What `train` and `evaluate` print of an experiment of ``kind = "retrieve"``."""

from __future__ import annotations

from collections.abc import Mapping

import click

from fusionapp.adapters.torch_shared.launcher import leads
from fusionapp.domain.statistics.bootstrap import Difference
from fusionapp.domain.statistics.verdict import Verdict
from fusionapp.entrypoints.commands.options import is_quiet
from fusionapp.entrypoints.output import print_json, print_table
from fusionapp.entrypoints.retrieval import api
from fusionapp.entrypoints.retrieval.reports import (
    evaluation_json,
    leaderboard_columns,
    leaderboard_rows,
    reading,
    tuning_json,
)
from fusionapp.entrypoints.retrieval.schema import RetrievalExperiment


def train(settings: RetrievalExperiment, runs: str, overwrite: bool, as_json: bool) -> None:
    """Tune the encoder."""
    tuning = api.train(settings, runs=runs, overwrite=overwrite, quiet=is_quiet())
    if not leads():
        return
    if as_json:
        print_json(tuning_json(tuning))
        return
    print_table(
        ("seed", "best step", "untuned mrr@10", "validation mrr@10", "pairs/s", "directory"),
        [
            (
                str(seed),
                f"{one.best_step} of {one.steps}",
                f"{tuning.seeds[seed][0].encoder.untuned['mrr@10']:.4f}",
                f"{one.validation['mrr@10']:.4f}",
                f"{one.pairs_per_second:.1f}",
                one.directory,
            )
            for seed, one in tuning.encoders.items()
        ],
    )
    first = next(iter(tuning.encoders.values())).preflight
    share = first.trainable / first.parameters
    reused = " (tuned before, reused)" if tuning.reused else ""
    click.echo(
        f"{first.method}: {first.trainable:,} of {first.parameters:,} numbers ({share:.2%}) trained in "
        f"{tuning.seconds:.1f} s{reused}"
    )
    for sentence in first.advice:
        click.echo(sentence)


def evaluate(settings: RetrievalExperiment, split: str, runs: str, overwrite: bool, as_json: bool) -> None:
    """Score a split beside the controls."""
    evaluation = api.evaluate(settings, split=split, runs=runs, overwrite=overwrite, quiet=is_quiet())
    if as_json:
        print_json(evaluation_json(evaluation))
        return
    title = f"{split}: {evaluation.queries:,} queries, {evaluation.documents:,} documents"
    print_table(leaderboard_columns(evaluation), leaderboard_rows(evaluation), title, numbers_from=1)
    _say(evaluation.contender, evaluation.verdicts, evaluation.differences)
    _say("hybrid", evaluation.hybrid_verdicts, evaluation.hybrid_differences)
    if evaluation.vectors:
        columns = list(evaluation.vectors[0])
        rows = [tuple(_cell(row[column]) for column in columns) for row in evaluation.vectors]
        what = f"what shorter and coarser vectors of the {evaluation.contender} encoder find"
        print_table(columns, rows, what, numbers_from=2)
    click.echo(reading(evaluation))


def _say(who: str, verdicts: Mapping[str, Verdict], differences: Mapping[str, Difference]) -> None:
    for name, said in verdicts.items():
        difference = differences[name]
        click.echo(
            f"{who} is {said} {'from' if said == 'not separable' else 'than'} {name}: MRR@10 "
            f"{difference.estimate:+.4f} [{difference.interval.low:+.4f}, {difference.interval.high:+.4f}]"
        )


def _cell(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)

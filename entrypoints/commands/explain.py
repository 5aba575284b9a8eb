"""`fusionapp explain`: which parts of a trained run count, and where it errs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fusionapp.entrypoints.commands.options import (
    experiment_from,
    experiment_options,
    is_quiet,
    json_option,
    runs_option,
)


@click.command("explain")
@experiment_options
@click.option(
    "--split",
    default="validation",
    show_default=True,
    help="Which split is explained; test can be, once it is evaluated.",
)
@click.option("--retrain", is_flag=True, help="Also train the fusion without each source in turn.")
@runs_option
@json_option
def command(
    split: str,
    retrain: bool,
    runs: str,
    as_json: bool,
    experiment: Path | None,
    sets: tuple[str, ...],
    encoders: tuple[str, ...],
    device: str | None,
    **flags: Any,
) -> None:
    """Explain the trained EXPERIMENT (a file or a run directory) from its heads and stored embeddings.

    Leave-one-source-out and per-layer ablation, what the fusion weighs by class, how its products fare, the linear
    path's share, confusion matrix, most confident errors, scores by class and reliability: a CSV and (extra
    `charts`) an SVG each, and an index.md, under RUNS/NAME/explanations/SPLIT.
    """
    settings = experiment_from(experiment, sets, encoders, device, **flags)
    from fusionapp.entrypoints.experiment.load import runs_directory
    from fusionapp.entrypoints.explanations import explain, explanation_json
    from fusionapp.entrypoints.output import print_json

    found = explain(
        settings,
        split=split,
        retrain=retrain,
        runs=runs_directory(experiment, runs),
        quiet=is_quiet(),
    )
    if as_json:
        print_json(explanation_json(found))
        return
    _print(found)


def _print(found: Any) -> None:
    from fusionapp.entrypoints.output import print_table

    for note in found.notes:
        click.echo(note)
    for finding in found.findings:
        if finding.name in ("sources", "layers", "retrained"):
            print_table(
                ("without", "accuracy is lost by"),
                [(part, f"{drop:+.4f}") for part, drop in finding.numbers["drop"].items()],
                finding.title,
                numbers_from=1,
            )
    print_table(
        ("finding", "table", "figure"),
        [
            (one.title, Path(one.table).name, Path(one.figure).name if one.figure else "")
            for one in found.findings
        ],
    )
    for warning in found.warnings:
        click.echo(f"warning: {warning}")
    click.echo(found.index)

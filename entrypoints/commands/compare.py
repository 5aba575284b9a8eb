"""`fusionapp compare`: two runs on the same texts."""

from __future__ import annotations

from pathlib import Path

import click

from fusionapp.entrypoints.commands.options import json_option


@click.command("compare")
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@click.option("--split", default="test", show_default=True, help="Which split.")
@click.option(
    "--draws", default=10_000, show_default=True, type=click.IntRange(min=100), help="Bootstrap draws."
)
@json_option
def command(first: Path, second: Path, split: str, draws: int, as_json: bool) -> None:
    """Compare the run directories FIRST and SECOND, both evaluated on the same texts.

    Accuracy is paired by example (bootstrap over the mean of seeds); McNemar's test pairs the two ensembles.
    """
    from fusionapp.entrypoints import inspection
    from fusionapp.entrypoints.output import print_json, print_table
    from fusionapp.entrypoints.reports import comparison_json

    comparison = inspection.compare(first, second, split=split, draws=draws)
    if as_json:
        print_json(comparison_json(comparison))
        return
    print_table(
        ("run", "accuracy", "95 % interval", "macro F1", "weighted F1"),
        [
            (
                str(place),
                f"{metrics['accuracy'].mean:.4f} ± {metrics['accuracy'].sd:.4f}",
                f"[{metrics['accuracy'].low:.4f}, {metrics['accuracy'].high:.4f}]",
                f"{metrics['macro_f1'].mean:.4f}",
                f"{metrics['weighted_f1'].mean:.4f}",
            )
            for place, metrics in ((first, comparison.first), (second, comparison.second))
        ],
    )
    difference = comparison.difference
    click.echo(
        f"{first} is {comparison.verdict} {'from' if comparison.verdict == 'not separable' else 'than'} {second}"
        f": accuracy differs by {difference.estimate:+.4f} "
        f"[{difference.interval.low:+.4f}, {difference.interval.high:+.4f}] over {comparison.rows} texts"
    )
    test = comparison.mcnemar
    click.echo(
        f"McNemar on the ensembles: {test.only_first} right only by the first, {test.only_second} only by the "
        f"second, p = {test.p_value:.4g}{' (exact)' if test.exact else ''}"
    )

"""Results on stdout: one JSON object, or a table."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from fusionapp.application.services.evaluate_classifier import Evaluation
    from fusionapp.entrypoints.exporting import Exported


def print_json(value: Any) -> None:
    """One JSON object on stdout; numbers that JSON has no word for become null."""
    click.echo(json.dumps(_finite(value), ensure_ascii=False))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    if isinstance(value, float) and not -float("inf") < value < float("inf"):
        return None
    return value


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    title: str | None = None,
    numbers_from: int | None = None,
) -> None:
    """A table as wide as the terminal, or as wide as its content where stdout is not a terminal.

    Columns from `numbers_from` on are aligned right.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title, box=SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for position, column in enumerate(columns):
        numeric = numbers_from is not None and position >= numbers_from
        table.add_column(escape(column), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    width = None if sys.stdout.isatty() else 10_000
    Console(width=width).print(table)


def print_extraction(report: dict[str, Any]) -> None:
    """What `extract` and `status` print for people, from the object that they print as JSON."""
    rows = []
    for name, one in report["encoders"].items():
        speed = one.get("texts_per_second")
        rows.append(
            (
                name,
                ("sparse " if one["sparse"] else "") + f"{one['layers']} x {one['dim']}",
                f"{one['durable_rows']:,} of {one['rows']:,}",
                f"{one['truncated']:,}",
                f"{speed:,.0f}" if speed else "",
                _bottleneck(one),
                one["directory"],
            )
        )
    print_table(
        ("encoder", "layers x dim", "durable rows", "truncated", "texts/s", "limited by", "directory"), rows
    )
    for one in report["quarantined"][:20]:
        click.echo(f"quarantined: {one['encoder']} {one['split']} row {one['row']}: {one['reason']}")
    if len(report["quarantined"]) > 20:
        click.echo(f"... and {len(report['quarantined']) - 20} more (--json lists all)")
    click.echo("complete" if report["complete"] else "not complete: run `fusionapp extract` again to go on")


def print_exported(exported: Sequence[Exported]) -> None:
    """Which files hold which encoder's embeddings."""
    several = len({one.split for one in exported}) > 1
    for one in exported:
        name = f"{one.encoder} {one.split}" if several else one.encoder
        files = ", ".join(one.files)
        click.echo(f"{name}: {files}" + ("" if one.written else " (already there)"))


def _bottleneck(one: dict[str, Any]) -> str:
    """What held an encoder up: where to look first for more speed."""
    found = one.get("bottleneck") or ""
    peak = one.get("peak_device_bytes")
    return f"{found} ({peak / 2**30:.1f} GiB)" if peak else found


def print_leaderboard(evaluation: Evaluation) -> None:
    """What `evaluate` prints for people."""
    from fusionapp.entrypoints.reports import LEADERBOARD, leaderboard_rows, reading

    title = f"{evaluation.split}: {evaluation.rows:,} texts, ranked by validation accuracy"
    print_table(LEADERBOARD, leaderboard_rows(evaluation), title, numbers_from=1)
    for name, said in evaluation.verdicts.items():
        difference = evaluation.differences[name]
        click.echo(
            f"the result is {said}{'' if said == 'not separable' else ' than'}"
            f"{' from' if said == 'not separable' else ''} {name}: accuracy {difference.estimate:+.4f} "
            f"[{difference.interval.low:+.4f}, {difference.interval.high:+.4f}]"
        )
    if evaluation.left_out:
        click.echo(f"{evaluation.left_out} quarantined rows are left out of every number.")
    if evaluation.split != "test":
        click.echo(
            "Epochs and C were chosen on validation rows: judge by a split that nothing was chosen on."
        )
    click.echo(reading(evaluation))

"""`fusionapp fetch`: get data from where it is published."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from fusionapp.entrypoints.commands.grouped_help import GroupedCommand
from fusionapp.entrypoints.commands.options import is_quiet, json_option

GROUPS = {
    "What": ("--category", "--max-results", "--from", "--to"),
    "Where to": ("--output",),
    "How": ("--url", "--delay"),
}
EPILOG = """\b
Examples:
  fusionapp fetch arxiv --category gr-qc --max-results 2000 --output data/arxiv
  fusionapp fetch arxiv --category gr-qc --category hep-th --from 2020-01-01 --to 2020-12-31 --output data/2020
"""

_DAY = click.DateTime(["%Y-%m-%d"])


@click.group("fetch")
def command() -> None:
    """Get data from where it is published."""


@command.command("arxiv", cls=GroupedCommand, groups=GROUPS, epilog=EPILOG)
@click.option(
    "--category",
    "categories",
    multiple=True,
    required=True,
    help="Such as gr-qc or astro-ph.CO, or an archive such as q-bio; may be given several times.",
)
@click.option("--output", required=True, type=click.Path(path_type=Path), help="Directory of the files.")
@click.option(
    "--max-results", type=click.IntRange(min=1), help="Only the latest papers of each category; default: all."
)
@click.option("--from", "first", type=_DAY, help="First day of submission.")
@click.option("--to", "last", type=_DAY, help="Last day of submission; default: the day of the first try.")
@click.option("--url", help="Address of the API, where a mirror is asked.")
@click.option(
    "--delay",
    type=click.FloatRange(min=3.0),
    default=3.0,
    show_default=True,
    help="Seconds between requests; arXiv's terms ask for 3.",
)
@json_option
def arxiv(
    categories: tuple[str, ...],
    output: Path,
    max_results: int | None,
    first: datetime | None,
    last: datetime | None,
    url: str | None,
    delay: float,
    as_json: bool,
) -> None:
    """Write titles and abstracts of whole categories to OUTPUT/CATEGORY.jsonl, the latest first.

    Each page is kept as it comes: killed at any point, the same command goes on where it stopped, and what is
    there is not asked for again. A paper of several categories stands in the first one's file.
    """
    import attrs

    from fusionapp.entrypoints.fetching import fetch_arxiv
    from fusionapp.entrypoints.output import print_json, print_table

    fetched = fetch_arxiv(
        categories,
        output,
        max_results,
        None if first is None else first.date(),
        None if last is None else last.date(),
        url=url,
        delay=delay,
        quiet=is_quiet(),
    )
    if as_json:
        print_json({"categories": [attrs.asdict(one) for one in fetched]})
        return
    print_table(
        ("category", "papers", "of", "in an earlier file", "requests", "file"),
        [
            (
                one.category,
                f"{one.papers:,}",
                f"{one.total:,}",
                f"{one.elsewhere:,}",
                f"{one.requests:,}",
                one.file,
            )
            for one in fetched
        ],
        numbers_from=1,
    )

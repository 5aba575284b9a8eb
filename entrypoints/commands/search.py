"""`fusionapp search`: find the documents that answer a query."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from fusionapp.entrypoints.commands.options import is_quiet, json_option


@click.command("search")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("query")
@click.option("-k", "k", type=click.IntRange(min=1), default=10, show_default=True, help="Most documents.")
@click.option(
    "--hybrid",
    is_flag=True,
    help="Go by words as well, as `evaluate` chose on validation; else by reciprocal ranks with BM25.",
)
@json_option
def command(run: Path, query: str, k: int, hybrid: bool, as_json: bool) -> None:
    """Search the index of RUN for QUERY; - reads a query a line from stdin and prints a JSON object a line.

    Build the index first: fusionapp index RUN.
    """
    from fusionapp.entrypoints.output import print_table
    from fusionapp.entrypoints.retrieval.searching import search

    queries = _lines() if query == "-" else iter([query])
    for answer in search(run, queries, k, hybrid, quiet=is_quiet()):
        if as_json or query == "-":
            hits = [{"id": hit.id, "score": hit.score, "text": hit.text} for hit in answer.hits]
            click.echo(json.dumps({"query": answer.query, "hits": hits}, ensure_ascii=False))
            continue
        print_table(
            ("score", "id", "topic", "text"),
            [(f"{hit.score:.4f}", str(hit.id), hit.topic or "", shorten(hit.text)) for hit in answer.hits],
        )


def shorten(text: str, most: int = 160) -> str:
    """The start of a text, on one line."""
    plain = " ".join(text.split())
    return plain if len(plain) <= most else f"{plain[: most - 1]}…"


def _lines() -> Iterator[str]:
    return (line.rstrip("\n") for line in sys.stdin if line.strip())

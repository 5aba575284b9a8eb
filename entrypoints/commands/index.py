"""`fusionapp index`: make a run's documents searchable."""

from __future__ import annotations

from pathlib import Path

import click

from fusionapp.entrypoints.commands.options import is_quiet, json_option


@click.command("index")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--kind",
    type=click.Choice(["numpy", "flat", "hnsw", "ivfpq", "usearch"]),
    help="numpy and flat are exact; default: the experiment's index.kind.",
)
@click.option("--split", default="test", show_default=True, help="Whose documents.")
@json_option
def command(run: Path, kind: str | None, split: str, as_json: bool) -> None:
    """Embed the documents of RUN, of a retrieval experiment, with its tuned encoder, and index them.

    A run that is not trained is indexed with the untuned encoder. The index stands in RUN/index; `fusionapp
    search` compares its hash before it is read.
    """
    from fusionapp.entrypoints.output import print_json
    from fusionapp.entrypoints.retrieval.searching import build_index

    document = build_index(run, kind, split, quiet=is_quiet())
    if as_json:
        print_json(dict(document))
        return
    click.echo(
        f"{document['rows']:,} documents of {document['dim']} numbers by {document['encoder']}, "
        f"{document['kind']} index; next: fusionapp search {run} QUERY"
    )

"""`fusionapp mine`: write a run's pairs with hard negatives."""

from __future__ import annotations

from pathlib import Path

import click

from fusionapp.entrypoints.commands.options import is_quiet, json_option


@click.command("mine")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--output", required=True, type=click.Path(path_type=Path), help="File to write, with the suffix .jsonl."
)
@click.option("--split", default="train", show_default=True, help="Whose pairs.")
@json_option
def command(run: Path, output: Path, split: str, as_json: bool) -> None:
    """Write the pairs of RUN, of a retrieval experiment, with hard negatives, for another training.

    They are what the run's encoder ranks high for a query and what is none of its documents, chosen as the
    experiment's train.mining says. Read the file by source = "files" with id = ["id"], query_id = ["query_id"],
    grade = "grade" and negatives = "negatives"; topic, label and date are columns where the data have them.
    """
    from fusionapp.entrypoints.output import print_json
    from fusionapp.entrypoints.retrieval.mining import mine

    mined = mine(run, output, split, quiet=is_quiet())
    if as_json:
        print_json({"file": str(output), **mined.summary()})
        return
    click.echo(output)
    click.echo(
        f"{mined.found:,} hard negatives for {mined.pairs:,} pairs; {mined.complete:,} pairs have all they could",
        err=True,
    )

"""`fusionapp export`: write what others read."""

from __future__ import annotations

from pathlib import Path

import click

from fusionapp.entrypoints.commands.options import json_option


@click.group("export")
def command() -> None:
    """Write stored embeddings to one file."""


@command.command("embeddings")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--encoder", help="Name of the encoder in the experiment; may be left out where there is one.")
@click.option("--split", help="Which split; may be left out where there is one.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["npy", "npz", "jsonl", "parquet", "pt", "safetensors"]),
    default="npy",
    show_default=True,
    help="File format; sparse embeddings need npz (CSR).",
)
@click.option("--output", required=True, type=click.Path(path_type=Path), help="File to write.")
@json_option
def embeddings(
    directory: Path, encoder: str | None, split: str | None, form: str, output: Path, as_json: bool
) -> None:
    """Write one encoder's embeddings of one split of the run DIRECTORY, with their metadata beside them.

    One layer is written as (rows, dim), several as (rows, layers, dim), float32, a shard at a time. Quarantined
    rows are left out; the metadata (OUTPUT with the suffix .json) lists them. jsonl and parquet hold the id
    columns; beside the others they stand in OUTPUT with the suffix .ids.jsonl, where the dataset has any.
    """
    from fusionapp.entrypoints import inspection
    from fusionapp.entrypoints.output import print_json

    written = inspection.export_embeddings(directory, encoder, split, form, output)
    if as_json:
        print_json({"files": list(written)})
    else:
        for path in written:
            click.echo(path)

"""`fusionapp import`: take in what others wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fusionapp.entrypoints.commands.options import content_from, experiment_options, is_quiet, json_option


@click.group("import")
def command() -> None:
    """Take embeddings that were made elsewhere into the store."""


@command.command("embeddings")
@click.argument("file", type=click.Path(path_type=Path))
@experiment_options
@click.option("--split", required=True, help="Which split the rows stand for: train, validation or test.")
@click.option("--model", help="What made the vectors; a part of their identity.")
@json_option
def embeddings(
    file: Path,
    split: str,
    model: str | None,
    as_json: bool,
    experiment: Path | None,
    sets: tuple[str, ...],
    encoders: tuple[str, ...],
    device: str | None,
    **flags: Any,
) -> None:
    """Store FILE as the embeddings of one split, under the name given by --encoder, and print the table to use.

    FILE is a .pt (one tensor), .npy, .safetensors or .parquet, or a directory of Parquet or of `datasets`:
    (rows, dim) or (rows, layers, dim), row i for text i of the split. The dataset is that of EXPERIMENT, or of
    --dataset, --train-file and --test-file. Rows must be as many as texts, and finite; nothing is unpickled.

    An experiment that names the file itself needs no import: `extract` and `train` do the same.
    """
    import attrs

    from fusionapp.entrypoints.importing import import_embeddings
    from fusionapp.entrypoints.output import print_json

    if len(encoders) != 1:
        raise click.UsageError("name the vectors with one --encoder NAME")
    content = content_from(experiment, sets, device, **flags)
    imported = import_embeddings(content, file, split, encoders[0], model, is_quiet())
    if as_json:
        print_json(attrs.asdict(imported))
        return
    click.echo(
        f"{imported.rows:,} rows of ({imported.layers}, {imported.dim}) in {imported.directory}", err=True
    )
    click.echo(imported.toml)

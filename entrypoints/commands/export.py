"""`fusionapp export`: write what others read."""

from __future__ import annotations

from pathlib import Path

import click

from fusionapp.entrypoints.commands.options import json_option


@click.group("export")
def command() -> None:
    """Write stored embeddings, or a trained model, to one file."""


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


@command.command("model")
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--format", "form", type=click.Choice(["onnx"]), default="onnx", show_default=True, help="File format."
)
@click.option("--output", required=True, type=click.Path(path_type=Path), help="File to write.")
@json_option
def model(model: Path, form: str, output: Path, as_json: bool) -> None:
    """Write the heads of MODEL as a graph: embeddings of each encoder in, class probabilities out.

    MODEL is a run directory (the ensemble of its seeds) or one of its models/seed-K. Inputs are named as the
    encoders, (rows, layers, dim) float32 as they are stored: one layer is (rows, 1, dim). The output is
    "probabilities" (rows, classes); the labels are in the model's metadata. The linear path is part of the graph.
    It is written once onnxruntime gives the probabilities of `predict` on stored rows. Sources must be dense.
    """
    import attrs

    from fusionapp.entrypoints import inspection
    from fusionapp.entrypoints.output import print_json

    exported = inspection.export_model(model, output)
    if as_json:
        print_json({**attrs.asdict(exported), "format": form})
    else:
        click.echo(exported.path)
        click.echo(
            f"agrees with predict to {exported.largest_difference:.1g} on {exported.rows} stored rows",
            err=True,
        )

"""`fusionapp export`: write what others read."""

from __future__ import annotations

from pathlib import Path

import click

from fusionapp.entrypoints.commands.options import json_option


@click.group("export")
def command() -> None:
    """Write stored embeddings, a trained model or an encoder for others to read."""


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
@click.option(
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="File to write; a directory with encoders.",
)
@click.option("--with-encoders", is_flag=True, help="Write the encoders into the graph, too: tokens in.")
@json_option
def model(model: Path, form: str, output: Path, with_encoders: bool, as_json: bool) -> None:
    """Write the heads of MODEL as a graph: embeddings of each encoder in, class probabilities out.

    MODEL is a run directory (the ensemble of its seeds) or one of its models/seed-K. Inputs are named as the
    encoders, (rows, layers, dim) float32 as they are stored: one layer is (rows, 1, dim). A sparse source is a CSR
    matrix of raw counts, as `export embeddings --format npz` writes it, in three inputs: NAME.indptr and
    NAME.indices int64, NAME.data float32. The output is "probabilities" (rows, classes); the labels are in the
    model's metadata. TF-IDF and the linear path are part of the graph. It is written once onnxruntime gives the
    probabilities of `predict` on stored rows.

    With --with-encoders OUTPUT is a directory: model.onnx takes NAME.input_ids and NAME.attention_mask (rows,
    tokens) of each encoder, once for those that tokenize alike, and gives "probabilities"; beside it are the
    tokenizers, fusionapp_classifier.json (prefixes, lengths, classes, hashes) and a README.md with a program that
    needs onnxruntime and tokenizers alone. Encoders are written in float32, and the whole is tried against
    `predict` on texts of many lengths. Adapters must be "huggingface" or "onnx", and no weights quantised; hashed
    n-grams have no ONNX operators, so a run with a "lexical" encoder is exported as heads alone.
    """
    import attrs

    from fusionapp.entrypoints import inspection
    from fusionapp.entrypoints.output import print_json

    if with_encoders:
        _model_with_encoders(model, form, output, as_json)
        return
    exported = inspection.export_model(model, output)
    if as_json:
        print_json({**attrs.asdict(exported), "format": form})
    else:
        click.echo(exported.path)
        click.echo(
            f"agrees with predict to {exported.largest_difference:.1g} on {exported.rows} stored rows",
            err=True,
        )


def _model_with_encoders(model: Path, form: str, output: Path, as_json: bool) -> None:
    import attrs

    from fusionapp.entrypoints.classifier_export import export_text_classifier
    from fusionapp.entrypoints.output import print_json

    exported = export_text_classifier(model, output)
    if as_json:
        print_json({**attrs.asdict(exported), "format": form})
    else:
        click.echo(exported.directory)
        click.echo(
            f"agrees with predict to {exported.largest_difference:.1g} on {exported.texts} texts", err=True
        )


@command.command("encoder")
@click.argument("source", metavar="EXPERIMENT_OR_MODEL")
@click.option("--encoder", help="Name of the encoder in the experiment; may be left out where there is one.")
@click.option(
    "--format", "form", type=click.Choice(["onnx"]), default="onnx", show_default=True, help="Graph format."
)
@click.option("--output", required=True, type=click.Path(path_type=Path), help="Directory to write.")
@click.option("--int8", is_flag=True, help="Quantise the weights to 8 bits; the vectors differ a little.")
@json_option
def encoder(source: str, encoder: str | None, form: str, output: Path, int8: bool, as_json: bool) -> None:
    """Write an encoder as a graph with its tokenizer, for onnxruntime.

    EXPERIMENT_OR_MODEL is an experiment file, a run directory, or a model as an experiment names it. The graph
    takes input_ids and attention_mask, padded on the right, and gives text_embedding (batch, layers, dim), pooled
    and normalised in float32; fusionapp_encoder.json says the rest (prefix, max length, hashes). It is written
    once its vectors are the encoder's. Read it with adapter = "onnx" and model = the directory.
    """
    import attrs

    from fusionapp.entrypoints.encoder_export import export_encoder
    from fusionapp.entrypoints.output import print_json

    parity = export_encoder(source, encoder, output, int8)
    if as_json:
        print_json({"directory": str(output), "format": form, "int8": int8, **attrs.asdict(parity)})
    else:
        click.echo(output)
        agreement = f"lowest cosine {parity.cosine:.6f}, largest relative error {parity.error:.1g}"
        click.echo(f"{agreement} on {parity.texts} texts", err=True)


@command.command("scores")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--output", required=True, type=click.Path(path_type=Path), help="File to write (.jsonl).")
@click.option("--split", default="test", show_default=True, help="Which evaluated split.")
@click.option(
    "--cost", "costs", multiple=True, metavar="RUN=USD", help="What a text costs; for every run or none."
)
@json_option
def scores(runs: tuple[Path, ...], output: Path, split: str, costs: tuple[str, ...], as_json: bool) -> None:
    """Write which of several evaluated RUNS is right on which text, for a router to be trained on.

    Each line holds "id", "prompt" (the text), "scores" (1 where the run's ensemble is right, else 0), "latencies"
    (seconds that embedding a text took, where the run measured them) and "costs": what --cost says, or else these
    seconds, where all runs have them. RUNS must have scored the same texts.
    """
    import attrs

    from fusionapp.entrypoints.output import print_json, print_table
    from fusionapp.entrypoints.score_export import export_scores, read_costs

    written = export_scores(runs, output, split, read_costs(costs))
    if as_json:
        print_json(attrs.asdict(written))
        return
    rows = [
        [name, f"{right:.1%}", f"{written.costs[name]:.3g}" if written.costs else "unknown"]
        for name, right in written.accuracy.items()
    ]
    print_table(["run", "right", f"cost a text ({written.unit})" if written.unit else "cost a text"], rows)
    click.echo(f"{written.path}: {written.texts} texts of {written.split}", err=True)

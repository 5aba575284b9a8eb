"""`fusionapp predict`: classify new texts."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command("predict")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("file", default="-")
@click.option(
    "--text", "column", default="text", show_default=True, help="Text column of a .csv or .jsonl file."
)
@click.option(
    "--batch-size", default=1024, show_default=True, type=click.IntRange(min=1), help="Texts at a time."
)
def command(model: Path, file: str, column: str, batch_size: int) -> None:
    """Classify the texts of FILE with MODEL, one JSON object a line.

    MODEL is a run directory (the ensemble of its seeds), one of its models/seed-K, which needs the models/linear
    beside it, or a fold or draw of a run, protocol/fold-0. FILE is .txt (a line each), .csv, .tsv, .jsonl or
    .parquet; - reads lines from standard input.
    """
    import attrs

    from fusionapp.adapters.files.prompts import read_prompts
    from fusionapp.entrypoints.prediction import load

    for prediction in load(model).stream(read_prompts(file, column), batch_size):
        click.echo(json.dumps(attrs.asdict(prediction), ensure_ascii=False))

"""The options of `extract` that describe a job without an experiment file, and what its help says of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from fusionapp.entrypoints.encoder_flags import EncoderFlags
from fusionapp.entrypoints.export_formats import FORMATS
from fusionapp.entrypoints.texts_job import TextsJob

F = TypeVar("F", bound=Callable[..., Any])

GROUPS = {
    "What is embedded": (
        "--texts",
        "--text",
        "--id",
        "--dataset",
        "--train-file",
        "--validation-file",
        "--test-file",
        "--split",
        "--limit",
        "--on-empty",
    ),
    "Encoders": (
        "--encoder",
        "--prefix",
        "--max-length",
        "--normalize",
        "--device",
        "--batch-size",
        "--batch-tokens",
    ),
    "Where it goes": (
        "--output",
        "--format",
        "--runs",
        "--name",
        "--storage",
        "--shard-rows",
        "--overwrite",
    ),
    "How it runs": ("--executor", "--workers", "--dry-run", "--json", "--set", "--help"),
    "For training alone, accepted so that one line serves both": ("--label", "--fusion", "--seeds"),
}

EPILOG = """\b
Examples:
  fusionapp extract experiment.toml
  fusionapp extract --texts papers.jsonl --text paragraph --id paper_id --id paragraph_index \\
      --encoder bge-large --encoder e5-large --prefix e5-large='passage: ' \\
      --format npy --format jsonl --output results
  fusionapp extract --texts lines.txt --encoder minilm --output lines --device cuda:0 --workers 4
  fusionapp status results

\b
With --texts, OUTPUT receives a file of each encoder and format, named after the model
(results/bge-large-en-v1.5.npy), its metadata (.json) and, where there are id columns, a line of them a row
(.ids.jsonl). The store under OUTPUT/embeddings is what a killed command goes on from.
`fusionapp --verbose extract ...` explains each step.
"""

_OPTIONS = (
    click.option(
        "--texts",
        type=click.Path(path_type=Path),
        help="File of texts without labels, in place of EXPERIMENT: .jsonl, .csv, .tsv, .txt (a line each), "
        "each also .gz, or .parquet. [dataset.texts]",
    ),
    click.option(
        "--id",
        "ids",
        multiple=True,
        metavar="COLUMN",
        help="Column that travels into the exported files; may be given several times. [dataset.id]",
    ),
    click.option(
        "--prefix",
        "prefixes",
        multiple=True,
        metavar="NAME=TEXT",
        help="What stands before each text of an encoder; default: as its card says. [encoders.NAME.prefix]",
    ),
    click.option(
        "--max-length",
        "max_lengths",
        multiple=True,
        metavar="NAME=N",
        help="Tokens kept of a text; default: the model's. [encoders.NAME.max_length]",
    ),
    click.option(
        "--normalize",
        "normalized",
        multiple=True,
        metavar="NAME[=false]",
        help="L2-normalise an encoder's vectors, or not; default: as its card says. [encoders.NAME.normalize]",
    ),
    click.option(
        "--batch-size",
        type=click.IntRange(min=1),
        metavar="N",
        help="Memory bound in texts: a batch takes the tokens of so many texts of an encoder's max length "
        "(at most 512 tokens each), padding included; more texts where they are shorter.",
    ),
    click.option(
        "--batch-tokens",
        type=click.IntRange(min=1),
        metavar="N",
        help="The same in tokens. Default: what the device is fastest with. [encoders.*.batch_tokens]",
    ),
    click.option(
        "--shard-rows",
        type=click.IntRange(min=1),
        metavar="N",
        help="Texts in a shard, the unit that is written and resumed. [storage.shard_rows]",
    ),
    click.option(
        "--format",
        "formats",
        multiple=True,
        type=click.Choice(FORMATS),
        help="Also write each encoder's embeddings to a file in the run directory; may be given several times. "
        "Sparse ones are written as npz. With --texts: npy by default.",
    ),
)


def texts_options(function: F) -> F:
    """The options that `job_from` reads, and ``--format``."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def job_from(flags: dict[str, Any]) -> TextsJob:
    """What the options of `texts_options` say; they are taken out of `flags`."""
    own = {name: flags.pop(name) for name in ("texts", "ids", "shard_rows")}
    names = ("prefixes", "max_lengths", "normalized", "batch_size", "batch_tokens")
    return TextsJob(**own, encoders=EncoderFlags(**{name: flags.pop(name) for name in names}))

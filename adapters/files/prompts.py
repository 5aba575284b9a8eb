"""The texts that `predict` and `route` are asked about."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from os import PathLike
from pathlib import Path
from typing import BinaryIO

from fusionapp.adapters.files.lines import decoded_lines
from fusionapp.adapters.files.opening import opened
from fusionapp.adapters.files.source import read_rows
from fusionapp.domain.columns import layout


def read_prompts(
    path: str | PathLike[str],
    text: str | Iterable[str] = "text",
    template: str | None = None,
    stream: BinaryIO | None = None,
) -> Iterator[str]:
    """Texts of a file: .txt has one a line; .csv, .tsv, .jsonl and .parquet a column; "-" reads `stream`.

    A blank line is a blank text, so that outputs stand in step with the lines. `stream` defaults to standard
    input, read as UTF-8 whatever the locale, and line by line as it comes.

    Raises:
        DatasetError: what cannot be read; names file, row, line and column.
    """
    if path == "-":
        yield from _lines(sys.stdin.buffer if stream is None else stream, "standard input")
        return
    file = Path(path).expanduser()
    if file.name.lower().endswith((".txt", ".txt.gz")):
        with opened(file) as lines:
            yield from _lines(lines, str(file))
        return
    columns = layout(text, template=template)
    for place, values in read_rows(file, columns):
        yield columns.example(values, place).text


def _lines(stream: Iterable[bytes], source: str) -> Iterator[str]:
    for _, line in decoded_lines(stream, source):
        yield line

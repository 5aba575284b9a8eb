"""Pairs as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path

from fusionapp.adapters.exports.whole_files import whole_files
from fusionapp.domain.embeddings import Json
from fusionapp.domain.errors import UsageError


def write_pair_lines(path: str | PathLike[str], rows: Iterable[Mapping[str, Json]]) -> int:
    """Write a row a line, the whole file or none of it; returns how many.

    Raises:
        UsageError: the name has another suffix than .jsonl, by which it is read again.
        ResourceError: the disk is full.
    """
    check_pair_lines(path)
    count = 0
    with whole_files([Path(path)]) as (file,):
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
            count += 1
    return count


def check_pair_lines(path: str | PathLike[str]) -> None:
    """Refuse a name that would not be read again as JSON lines.

    Raises:
        UsageError: it has another suffix than .jsonl.
    """
    if Path(path).suffix != ".jsonl":
        raise UsageError(f"{path}: is written as JSON lines; give the file the suffix .jsonl")

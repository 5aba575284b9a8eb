"""Pairs of queries and documents in files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import TypeAlias

import attrs

from fusionapp.adapters.dataset_files.split_files import SplitFiles, file_path
from fusionapp.adapters.files.source import read_rows
from fusionapp.application.ports.pair_source import PairSource
from fusionapp.domain.errors import UsageError
from fusionapp.domain.retrieval.pair_columns import PairLayout
from fusionapp.domain.retrieval.pairs import Document, Pair
from fusionapp.domain.splits import check_limit

File: TypeAlias = "str | PathLike[str] | Mapping[str, object]"
"""A path, or a table ``{path = "gr-qc.jsonl", topic = "gr-qc"}``."""


@attrs.frozen
class _Part:
    path: Path
    topic: str | None

    def __str__(self) -> str:
        return str(self.path)


class FilePairSource(PairSource):
    """Splits in files, by suffix: .csv, .tsv, .jsonl (.ndjson, .json), each also .gz, and .parquet.

    A split of several files is read as one, in order; each file may name the topic of its rows.
    """

    def __init__(
        self,
        splits: Mapping[str, File | Sequence[File]],
        columns: PairLayout,
        limit: int | None = None,
    ) -> None:
        """Take the settings of ``[dataset]``; no file is opened.

        Args:
            splits: file or files of each split, each a path or a table of `path` and `topic`.
            columns: which hold what, as `pair_layout` makes them; a row without a topic goes by its file's.
            limit: read only this many rows of each split.

        Raises:
            UsageError: a split without a file, a table that names none, or a limit below 1.
        """
        check_limit(limit)
        self._layout = columns
        self._files = SplitFiles({split: _parts(files, split) for split, files in splits.items()})
        self._limit = limit

    def splits(self) -> Sequence[str]:
        """The splits that were named, in the order train, validation, test, others."""
        return self._files.names()

    def describe(self, split: str) -> str:
        """The split's file, or files separated by commas."""
        return self._files.describe(split)

    def read(self, split: str) -> Iterator[Pair]:
        """Pairs of a split in file order.

        Raises:
            DatasetError: what cannot be read; names file, row, line and column.
        """
        return islice(self._read(self._files.of(split)), self._limit)

    def corpus(self, split: str) -> Iterator[Document]:
        """No document beside those of the pairs."""
        self._files.of(split)
        return iter(())

    def _read(self, parts: Sequence[_Part]) -> Iterator[Pair]:
        rows = 0
        for part in parts:
            for place, values in read_rows(part.path, self._layout, rows):
                yield self._layout.pair(values, place, part.topic)
                rows += 1


def _parts(files: File | Sequence[File], split: str) -> Sequence[_Part]:
    several = [files] if isinstance(files, str | PathLike | Mapping) else files
    return [_part(file, split) for file in several]


def _part(file: File, split: str) -> _Part:
    if isinstance(file, str | PathLike):
        return _Part(file_path(file), None)
    unknown = set(file) - {"path", "topic"}
    path, topic = file.get("path"), file.get("topic")
    if unknown or not isinstance(path, str | PathLike) or not (topic is None or isinstance(topic, str)):
        raise UsageError(
            f'dataset.{split}: expected {{path = "FILE", topic = "TOPIC"}}, topic optional, got {dict(file)}'
        )
    return _Part(file_path(path), topic or None)

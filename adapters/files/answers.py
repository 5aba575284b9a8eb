"""Models' answers to prompts in files: scores and battles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from fusionapp.adapters.dataset_files.split_files import Files, split_paths
from fusionapp.adapters.files.source import read_rows
from fusionapp.application.ports.answer_source import AnswerSource
from fusionapp.domain.routing.answer_columns import AnswerColumns
from fusionapp.domain.routing.detected_columns import DetectedColumns
from fusionapp.domain.routing.rows import AnswerRow
from fusionapp.domain.splits import check_limit


class FileAnswerSource(AnswerSource):
    """Splits in files, by suffix: .csv, .tsv, .jsonl (.ndjson, .json), each also .gz, and .parquet.

    A split of several files is read as one, in order. Each file's layout is found by itself, so that scores and
    battles can stand beside each other.
    """

    def __init__(
        self,
        splits: Mapping[str, Files],
        columns: AnswerColumns,
        limit: int | None = None,
    ) -> None:
        """Take the settings of ``[dataset]``; no file is opened.

        Args:
            splits: file or files of each split.
            columns: which hold what, as `answer_columns` makes them.
            limit: read only this many rows of each split.

        Raises:
            UsageError: a split without a file, or a limit below 1.
        """
        check_limit(limit)
        self._columns = columns
        self._files = split_paths(splits)
        self._limit = limit

    def splits(self) -> Sequence[str]:
        """The splits that were named, in the order train, validation, test, others."""
        return self._files.names()

    def describe(self, split: str) -> str:
        """The split's file, or files separated by commas."""
        return self._files.describe(split)

    def read(self, split: str) -> Iterator[AnswerRow]:
        """Rows of a split in file order.

        Raises:
            DatasetError: what cannot be read; names file, row, line and column.
        """
        return islice(self._read(self._files.of(split)), self._limit)

    def _read(self, paths: Sequence[Path]) -> Iterator[AnswerRow]:
        rows = 0
        for path in paths:
            columns = DetectedColumns(self._columns)
            for place, values in read_rows(path, columns, rows):
                yield columns.row(values, place)
                rows += 1

"""The dataset source over files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import TypeAlias

from fusionapp.adapters.dataset_files.split_files import Files, split_paths
from fusionapp.adapters.files.class_names import read_class_names
from fusionapp.adapters.files.delimited import read_delimited
from fusionapp.adapters.files.json_lines import read_json_lines
from fusionapp.adapters.files.lines import read_lines
from fusionapp.adapters.files.opening import check_file
from fusionapp.adapters.files.parquet import read_parquet
from fusionapp.application.ports.dataset_source import DatasetSource
from fusionapp.domain.columns import Columns, Place, layout
from fusionapp.domain.errors import DatasetError
from fusionapp.domain.examples import Example
from fusionapp.domain.splits import check_limit

Reader: TypeAlias = Callable[[Path, Columns, int], Iterator[tuple[Place, dict[str, object]]]]

_TEXT_READERS: Mapping[str, Reader] = {
    ".csv": read_delimited,
    ".tsv": partial(read_delimited, delimiter="\t"),
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".json": read_json_lines,
    ".txt": read_lines,
}


def read_rows(path: Path, columns: Columns, first_row: int = 0) -> Iterator[tuple[Place, dict[str, object]]]:
    """A file's rows by its suffix; rows are counted from `first_row`.

    Raises:
        DatasetError: no such file, an unknown suffix, or content that cannot be read.
    """
    return _reader(path)(path, columns, first_row)


def _reader(path: Path) -> Reader:
    check_file(path)
    suffixes = [suffix.lower() for suffix in path.suffixes] or [""]
    if suffixes[-1] == ".parquet":
        return read_parquet
    text_suffix = suffixes[-2] if suffixes[-1] == ".gz" and len(suffixes) > 1 else suffixes[-1]
    if text_suffix in _TEXT_READERS:
        return _TEXT_READERS[text_suffix]
    raise DatasetError(
        f"{path}: unknown kind of file; known are {', '.join(_TEXT_READERS)} (each also .gz) and .parquet"
    )


class FileDatasetSource(DatasetSource):
    """Splits in files, by suffix: .csv, .tsv, .jsonl (.ndjson, .json), .txt, each also .gz, and .parquet.

    Files are UTF-8, with or without a byte-order mark. A split of several files is read as one, in order.
    """

    def __init__(
        self,
        splits: Mapping[str, Files],
        text: str | Iterable[str] = "text",
        label: str | None = "label",
        *,
        id: str | Iterable[str] | None = None,
        template: str | None = None,
        class_names: Mapping[str | int, str] | Sequence[str] | PathLike[str] | None = None,
        limit: int | None = None,
    ) -> None:
        """Take the settings of ``[dataset]``; no file is opened but that of `class_names`.

        Args:
            splits: file or files of each split.
            text: the text column, or several that `template` joins (default: one a line).
            label: the label's column; None for texts without labels.
            id: columns that travel into every output; default the row number of the split, counted from 0.
            template: such as ``"{title}. {abstract}"``.
            class_names: names of the labels: a list, a mapping, or a file such as label2idx.txt.
            limit: read only this many rows of each split.

        Raises:
            UsageError: settings that make no sense.
            DatasetError: `class_names` names a file that cannot be read.
        """
        check_limit(limit)
        names = read_class_names(class_names) if isinstance(class_names, str | PathLike) else class_names
        self._layout = layout(text, label, id, template, names)
        self._files = split_paths(splits)
        self._limit = limit

    def splits(self) -> Sequence[str]:
        """The splits that were named, in the order train, validation, test, others."""
        return self._files.names()

    def describe(self, split: str) -> str:
        """The split's file, or files separated by commas."""
        return self._files.describe(split)

    def read(self, split: str) -> Iterator[Example]:
        """Examples of a split in file order.

        Raises:
            DatasetError: what cannot be read; names file, row, line and column.
        """
        return islice(self._read(self._files.of(split)), self._limit)

    def _read(self, paths: Sequence[Path]) -> Iterator[Example]:
        rows = 0
        for path in paths:
            for place, values in read_rows(path, self._layout, rows):
                yield self._layout.example(values, place)
                rows += 1

"""One split as an Arrow IPC file: streamed out in small batches, mapped back in."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from fusionapp.adapters.filesystem.atomic import Replacement
from fusionapp.adapters.filesystem.checksums import Checksum, open_recorded
from fusionapp.application.ports.spool import SpooledSplit
from fusionapp.domain.embeddings import Json, fingerprint_texts
from fusionapp.domain.errors import CorruptArtifactError, DatasetError
from fusionapp.domain.examples import Example

BATCH_ROWS = 2048
BATCH_CHARACTERS = 4_000_000
"""A batch ends with whichever comes first, so that memory stays flat for long documents too."""

_SCHEMA = pa.schema(
    [
        pa.field("text", pa.large_string(), nullable=False),
        pa.field("label", pa.large_string()),
        pa.field("id", pa.large_string(), nullable=False),
    ]
)


class ArrowSplit(SpooledSplit):
    """A mapped split; made by `open_split`."""

    def __init__(self, batches: pa.RecordBatchFileReader, starts: list[int], texts_sha256: str) -> None:
        """`starts`: the first row of each batch, and the number of rows at the end."""
        self._batches = batches
        self._starts = starts
        self._texts_sha256 = texts_sha256

    @property
    def rows(self) -> int:
        """How many examples there are."""
        return self._starts[-1]

    @property
    def texts_sha256(self) -> str:
        """Fingerprint of the texts."""
        return self._texts_sha256

    def texts(self, start: int, stop: int) -> list[str]:
        """Texts of rows [start, stop), cut to the rows there are."""
        return list(self._column("text", start, stop))

    def labels(self, start: int = 0, stop: int | None = None) -> list[str | None]:
        """Labels of rows [start, stop), cut to the rows there are."""
        return list(self._column("label", start, self.rows if stop is None else stop))

    def ids(self, start: int = 0, stop: int | None = None) -> Sequence[Mapping[str, Json]]:
        """Id columns of rows [start, stop), cut to the rows there are."""
        return [json.loads(text) for text in self._column("id", start, self.rows if stop is None else stop)]

    def _column(self, name: str, start: int, stop: int) -> Iterator[Any]:
        row, stop = max(start, 0), min(stop, self.rows)
        while row < stop:
            batch = int(np.searchsorted(self._starts, row, side="right")) - 1
            first, end = self._starts[batch], min(self._starts[batch + 1], stop)
            yield from self._batches.get_batch(batch).column(name)[row - first : end - first].to_pylist()
            row = end


def write_split(file: Replacement, split: str, examples: Iterable[Example]) -> tuple[int, str]:
    """Stream examples into a file; returns how many there were and the fingerprint of their texts.

    Raises:
        DatasetError: a text, label or id that cannot be stored; names split and row.
        ResourceError: the disk is full.
    """
    rows = 0

    def stored_texts() -> Iterator[str]:
        nonlocal rows
        with pa.ipc.new_file(file, _SCHEMA) as writer:
            for batch in _batches(examples):
                writer.write_batch(_record_batch(batch, split, rows))
                rows += len(batch)
                yield from (example.text for example in batch)

    # The domain's own formula pulls the texts through, so that the two can never differ.
    texts_sha256 = fingerprint_texts(stored_texts())
    return rows, texts_sha256


def open_split(path: Path, rows: int, texts_sha256: str, checksum: Checksum) -> ArrowSplit:
    """Map a split whose bytes were checked.

    Raises:
        CorruptArtifactError: it does not hold what its card says.
    """
    with open_recorded(path, checksum.bytes) as file:
        try:
            mapped = mmap(file.fileno(), 0, access=ACCESS_READ)
            batches = pa.ipc.open_file(pa.BufferReader(pa.py_buffer(mapped)))
            starts = [0]
            for index in range(batches.num_record_batches):
                batch = batches.get_batch(index)
                batch.validate(full=True)  # offsets that point outside would be followed
                starts.append(starts[-1] + batch.num_rows)
        except (ValueError, OSError, pa.ArrowException) as error:
            raise CorruptArtifactError(f"{path}: is no Arrow file of ours: {error}") from error
    if not batches.schema.equals(_SCHEMA) or starts[-1] != rows:
        raise CorruptArtifactError(f"{path}: holds other columns or rows than its card says")
    return ArrowSplit(batches, starts, texts_sha256)


def _batches(examples: Iterable[Example]) -> Iterator[list[Example]]:
    batch: list[Example] = []
    characters = 0
    for example in examples:
        batch.append(example)
        characters += len(example.text)
        if len(batch) == BATCH_ROWS or characters >= BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _record_batch(batch: Sequence[Example], split: str, first: int) -> pa.RecordBatch:
    try:
        columns = [
            [example.text for example in batch],
            [example.label for example in batch],
            [json.dumps(dict(example.id), allow_nan=False) for example in batch],
        ]
        arrays = [pa.array(column, type=pa.large_string()) for column in columns]
    except (TypeError, ValueError, pa.ArrowException) as error:
        raise _culprit(batch, split, first) from error
    return pa.RecordBatch.from_arrays(arrays, schema=_SCHEMA)


def _culprit(batch: Sequence[Example], split: str, first: int) -> DatasetError:
    """Name the row that could not be stored."""
    for row, example in enumerate(batch, first):
        try:
            example.text.encode("utf-8")
            (example.label or "").encode("utf-8")
            json.dumps(dict(example.id), allow_nan=False)
        except (AttributeError, TypeError, ValueError) as error:
            return DatasetError(f"{split}: row {row} cannot be stored: {error}; mend it or leave it out")
    return DatasetError(f"{split}: rows from {first} cannot be stored; mend them or leave them out")

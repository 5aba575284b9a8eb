"""Parquet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fusionapp.adapters.files.opening import check_file, not_utf8, unreadable
from fusionapp.domain.columns import Columns, Place
from fusionapp.domain.errors import DatasetError

_BATCH_ROWS = 1024


def read_parquet(path: Path, layout: Columns, first_row: int) -> Iterator[tuple[Place, dict[str, object]]]:
    """Rows of a file; only the columns asked for are read, a batch at a time.

    Raises:
        DatasetError: not a Parquet file, damaged, a missing column, or a string that is not UTF-8.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    check_file(path)
    try:
        with pq.ParquetFile(path) as file:
            layout.check(file.schema_arrow.names, Place(str(path)))
            row = first_row
            for batch in file.iter_batches(_BATCH_ROWS, columns=list(layout.columns)):
                columns = [_values(batch, name, path, row) for name in layout.columns]
                for values in zip(*columns, strict=True):
                    yield Place(str(path), row), dict(zip(layout.columns, values, strict=True))
                    row += 1
    except pa.ArrowException as error:
        raise DatasetError(f"{path}: not a Parquet file, or damaged ({error}); write it again") from error
    except OSError as error:
        if error.errno is None:  # Arrow raises a bare OSError for damaged pages
            raise DatasetError(f"{path}: damaged Parquet file ({error}); write it again") from error
        raise unreadable(path, error) from error


def _values(batch: Any, column: str, path: Path, first_row: int) -> list[object]:
    """A batch's column as Python values. Parquet promises UTF-8 strings; writers do not always keep it."""
    array = batch.column(column)
    try:
        return list(array.to_pylist())
    except UnicodeDecodeError:
        for index, value in enumerate(array):
            try:
                value.as_py()
            except UnicodeDecodeError as error:
                byte = error.object[error.start]
                raise not_utf8(Place(str(path), first_row + index), byte, column) from error
        raise

"""Embeddings as a column: Parquet files, and directories that the `datasets` library saved."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fusionapp.adapters.imported.matrix import Matrix, layers_and_dim, streamed
from fusionapp.domain.embeddings import Dense
from fusionapp.domain.errors import UsageError

COLUMN = "embedding"
_BATCH_NUMBERS = 2**22
"""Numbers decoded at once: 16 MiB of float32."""

Batches = Callable[[int], Iterator[pa.Array]]
"""Makes the column's arrays, of at most so many rows each, from the first row on."""


def open_parquet(paths: list[Path], origin: Path) -> Matrix:
    """The column of one or several Parquet files, one after the other.

    Raises:
        UsageError: there is no such column, it is not of equally long lists of numbers, or a file is broken.
    """
    with _named(origin):
        # Mapped: a column chunk may be the whole matrix, and would be read at once.
        files = [pq.ParquetFile(path, memory_map=True) for path in paths]
        column = _column(files[0].schema_arrow, origin)
        rows = sum(file.metadata.num_rows for file in files)

    def batches(size: int) -> Iterator[pa.Array]:
        for file in files:
            for batch in file.iter_batches(batch_size=size, columns=[column]):
                yield batch.column(0)

    return _matrix(rows, batches, origin)


def open_saved_dataset(directory: Path) -> Matrix:
    """The column of a directory that ``Dataset.save_to_disk`` wrote.

    Raises:
        UsageError: as `open_parquet`, or it holds several splits.
    """
    from datasets import load_from_disk

    if (directory / "dataset_dict.json").exists():
        raise UsageError(
            f"{directory}: holds several splits; name the directory of one, such as {directory / 'train'}"
        )
    with _named(directory):
        dataset = load_from_disk(str(directory)).with_format("arrow")
        column = _column(dataset.features.arrow_schema, directory)
        chosen = dataset.select_columns([column])

    def batches(size: int) -> Iterator[pa.Array]:
        for table in chosen.iter(batch_size=size):
            yield from table.column(0).chunks

    return _matrix(len(dataset), batches, directory)


def _column(schema: pa.Schema, origin: Path) -> str:
    """``embedding``, or the only column of lists."""
    lists = [field.name for field in schema if _is_list(field.type)]
    if COLUMN in lists:
        return COLUMN
    if len(lists) == 1:
        return str(lists[0])
    raise UsageError(
        f"{origin}: expected a column {COLUMN!r} of lists of numbers, got {', '.join(schema.names)}; rename it"
    )


def _matrix(rows: int, batches: Batches, origin: Path) -> Matrix:
    with _named(origin):
        first = next((batch for batch in batches(1) if len(batch)), None)
    if first is None:
        raise UsageError(f"{origin}: has no rows")
    layers, dim = layers_and_dim((rows, *_lengths(first, origin)), str(origin))
    size = max(1, min(4096, _BATCH_NUMBERS // (layers * dim)))

    def blocks() -> Iterator[Dense]:
        with _named(origin):
            for batch in batches(size):
                if len(batch):
                    yield _numbers(batch, (layers, dim), origin)

    return Matrix(rows, layers, dim, streamed(blocks))


def _is_list(kind: pa.DataType) -> bool:
    return any(
        is_kind(kind) for is_kind in (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    )


def _lengths(row: pa.Array, origin: Path) -> tuple[int, ...]:
    """Lengths of a row's nested lists."""
    lengths = []
    while _is_list(row.type):
        _check_filled(row, origin)
        lengths.append(int(pc.list_value_length(row)[0].as_py()) if len(row) else 0)
        row = row.flatten()
    return tuple(lengths)


def _numbers(batch: pa.Array, shape: tuple[int, int], origin: Path) -> Dense:
    rows, depth = len(batch), 0
    expected = shape if _is_list(batch.type.value_type) else shape[1:]
    while _is_list(batch.type):
        _check_filled(batch, origin)
        lengths = pc.list_value_length(batch).to_numpy(zero_copy_only=False)
        if depth >= len(expected) or (lengths != expected[depth]).any():
            raise UsageError(
                f"{origin}: rows of different lengths; each must hold {shape[1]} numbers a layer"
            )
        batch, depth = batch.flatten(), depth + 1
    _check_filled(batch, origin)
    if not pa.types.is_floating(batch.type):
        raise UsageError(
            f"{origin}: {batch.type} are no floating-point numbers; convert the column to float32"
        )
    with np.errstate(over="ignore"):
        flat = batch.to_numpy(zero_copy_only=False).astype(np.float32)
    return np.ascontiguousarray(flat).reshape(rows, *shape)


def _check_filled(values: pa.Array, origin: Path) -> None:
    if values.null_count:
        raise UsageError(f"{origin}: a row or a number of the embeddings is missing (null); fill it in")


@contextmanager
def _named(origin: Path) -> Iterator[None]:
    """Say which file a library's complaint is about."""
    try:
        yield
    except UsageError:
        raise
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        line = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise UsageError(f"{origin}: cannot be read ({line}); save it anew") from error

"""Columns of numbers and strings as Parquet; an (rows, ...) array is a column of fixed-size lists."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fusionapp.adapters.filesystem.parquet import parquet_bytes, read_parquet
from fusionapp.application.ports.run_store import Column
from fusionapp.domain.errors import CorruptArtifactError

_SHAPES = b"fusionapp.shapes"


def columns_bytes(columns: Mapping[str, Column]) -> memoryview:
    """Columns of equal length as the bytes of a Parquet file.

    Raises:
        ValueError: their lengths differ.
    """
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"columns of different lengths: {lengths}")
    shapes = {name: np.shape(column)[1:] for name, column in columns.items() if np.ndim(column) > 1}
    table = pa.table({name: _arrow(column) for name, column in columns.items()})
    return parquet_bytes(table.replace_schema_metadata({_SHAPES: json.dumps(shapes)}))


def read_columns(path: Path) -> dict[str, NDArray[Any]]:
    """The columns that `columns_bytes` wrote.

    Raises:
        CorruptArtifactError: the file is something else.
    """
    table = read_parquet(path)
    try:
        shapes = json.loads((table.schema.metadata or {}).get(_SHAPES, b"{}"))
        return {name: _numpy(table.column(name), tuple(shapes.get(name, ()))) for name in table.column_names}
    except (ValueError, TypeError, AttributeError, pa.ArrowException) as error:
        raise CorruptArtifactError(f"{path}: is no table of a run: {error}") from error


def _arrow(column: Column) -> pa.Array:
    if not isinstance(column, np.ndarray) or column.ndim == 1:
        return pa.array(column)
    width = prod(column.shape[1:])
    values = pa.array(np.ascontiguousarray(column).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(values, width)


def _numpy(column: pa.ChunkedArray, shape: tuple[int, ...]) -> NDArray[Any]:
    values = column.combine_chunks()
    if shape:
        flat: NDArray[Any] = values.flatten().to_numpy(zero_copy_only=False)
        return flat.reshape(len(column), *shape)
    plain: NDArray[Any] = values.to_numpy(zero_copy_only=False)
    return plain

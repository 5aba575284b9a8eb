"""Shards as Parquet files: columns `row` and `embedding`, or `row`, `indices` and `values` where sparse."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.sparse import csr_array

from fusionapp.adapters.filesystem.checksums import Checksum
from fusionapp.adapters.filesystem.csr import checked_csr
from fusionapp.adapters.filesystem.disk import Chunk
from fusionapp.adapters.filesystem.parquet import parquet_bytes, read_parquet
from fusionapp.adapters.filesystem.shard_format import ShardFormat
from fusionapp.domain.embeddings import Embeddings, EmbeddingShape
from fusionapp.domain.errors import CorruptArtifactError


class ParquetShards(ShardFormat):
    """``shard-00000.parquet``; the schema's metadata holds layers, dim and whether it is sparse."""

    @property
    def name(self) -> str:
        """parquet."""
        return "parquet"

    def file_names(self, index: int, shape: EmbeddingShape) -> Sequence[str]:
        """One file, dense or sparse."""
        return [f"shard-{index:05d}.parquet"]

    def encode(
        self, index: int, rows: NDArray[np.int64], embeddings: Embeddings, shape: EmbeddingShape
    ) -> Mapping[str, Iterable[Chunk]]:
        """The table, in memory once more: a shard is small."""
        schema = _schema(shape)
        columns: list[pa.Array] = [pa.array(rows)]
        if isinstance(embeddings, csr_array):
            offsets = pa.array(embeddings.indptr.astype(np.int32))
            for field, part in zip(list(schema)[1:], (embeddings.indices, embeddings.data), strict=True):
                values = pa.array(part, type=field.type.value_type)
                columns.append(pa.ListArray.from_arrays(offsets, values, type=field.type))
        else:
            values = pa.array(np.ascontiguousarray(embeddings).reshape(-1))
            columns.append(pa.FixedSizeListArray.from_arrays(values, type=schema.field("embedding").type))
        table = pa.Table.from_arrays(columns, schema=schema)
        return {name: [parquet_bytes(table)] for name in self.file_names(index, shape)}

    def decode(
        self, directory: Path, files: Mapping[str, Checksum], rows: NDArray[np.int64], shape: EmbeddingShape
    ) -> Embeddings:
        """Decoded arrays; Parquet cannot be mapped."""
        [(name, recorded)] = files.items()
        path = directory / name
        table = read_parquet(path, recorded.bytes)
        if not table.schema.equals(_schema(shape), check_metadata=True):
            raise CorruptArtifactError(f"{path}: its columns are not those of {shape}")
        table = table.combine_chunks()
        if not np.array_equal(table.column("row").to_numpy(), rows):
            raise CorruptArtifactError(f"{path}: holds other rows than recorded")
        if not shape.sparse:
            return _flat(table, "embedding").reshape(len(rows), shape.layers, shape.dim)
        indptr = _offsets(table, "indices", len(rows))
        if not np.array_equal(indptr, _offsets(table, "values", len(rows))):
            raise CorruptArtifactError(f"{path}: holds indices without values")
        return checked_csr(
            path, _flat(table, "values"), _flat(table, "indices"), indptr, (len(rows), shape.dim)
        )


def _schema(shape: EmbeddingShape) -> pa.Schema:
    def column(name: str, kind: pa.DataType, size: int = -1) -> pa.Field:
        item = pa.field("element", kind, nullable=False)
        return pa.field(name, pa.list_(item, size), nullable=False)

    columns = [pa.field("row", pa.int64(), nullable=False)]
    if shape.sparse:
        columns += [column("indices", pa.int32()), column("values", pa.float32())]
    else:
        columns += [column("embedding", pa.float32(), shape.layers * shape.dim)]
    described = {"layers": str(shape.layers), "dim": str(shape.dim), "sparse": str(shape.sparse).lower()}
    return pa.schema(columns, metadata=described)


def _flat(table: pa.Table, name: str) -> NDArray[Any]:
    values: NDArray[Any] = _single(table, name).flatten().to_numpy(zero_copy_only=False)
    return values


def _offsets(table: pa.Table, name: str, rows: int) -> NDArray[Any]:
    if rows == 0:
        return np.zeros(1, dtype=np.int32)
    offsets: NDArray[Any] = _single(table, name).offsets.to_numpy()
    return offsets


def _single(table: pa.Table, name: str) -> pa.Array:
    return table.column(name).combine_chunks()

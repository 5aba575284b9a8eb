"""Dense embeddings as records, a text each, with their id columns: .jsonl and .parquet."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from fusionapp.adapters.exports.matrices import dense_blocks, written_shape
from fusionapp.application.ports.embedding_file import EmbeddingRows
from fusionapp.domain.embeddings import Dense, Json
from fusionapp.domain.errors import UsageError

INDEX = "index"
"""The row number in the dataset; an id column of that name stands in its place."""

RESERVED = ("embedding", "model")
Ids = Sequence[Mapping[str, Json]]


def write_jsonl(file: IO[bytes], rows: EmbeddingRows, model: str) -> None:
    """An object a line: id columns, index, embedding, model."""
    for numbers, ids, block in _blocks(rows):
        for number, one, vector in zip(numbers.tolist(), ids, block.tolist(), strict=True):
            record = {INDEX: number, **one, "embedding": vector, "model": model}
            file.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")


def write_parquet(file: IO[bytes], rows: EmbeddingRows, model: str) -> None:
    """Columns: id columns, index, embedding (fixed-size list, nested for layers), model; a row group a block.

    The first row's id columns are those of the file; each is text, integer, number or truth as the first block's
    values are. `datasets`, pandas and Ray read it.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer = None
    try:
        for numbers, ids, block in _blocks(rows):
            table = _table(numbers, ids, block, model, None if writer is None else writer.schema)
            if writer is None:
                writer = pq.ParquetWriter(file, table.schema)
            writer.write_table(table, row_group_size=max(1, len(numbers)))
        if writer is None:
            empty = np.empty((0, *written_shape(rows)[1:]), dtype=np.float32)
            table = _table(np.empty(0, dtype=np.int64), [], empty, model, None)
            writer = pq.ParquetWriter(file, table.schema)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise UsageError(f"parquet: an id column changes its type ({error}); use jsonl") from error
    finally:
        if writer is not None:
            writer.close()


def _table(numbers: NDArray[np.int64], ids: Ids, block: Dense, model: str, schema: Any) -> Any:
    import pyarrow as pa

    embedding = pa.array(block.reshape(-1))
    for length in reversed(block.shape[1:]):
        embedding = pa.FixedSizeListArray.from_arrays(embedding, length)
    names = list(ids[0]) if ids else []
    columns: dict[str, Any] = {INDEX: pa.array(numbers)}
    columns |= {name: [one.get(name) for one in ids] for name in names}
    columns["embedding"] = embedding
    columns["model"] = pa.array([model] * len(numbers), type=pa.string())
    return pa.table(columns, schema=schema)


def _blocks(rows: EmbeddingRows) -> Iterator[tuple[NDArray[np.int64], Ids, Dense]]:
    """Row numbers, id columns (empty mappings where there are none) and vectors as they are written."""
    shape = written_shape(rows)[1:]
    for numbers, block in dense_blocks(rows):
        ids: Ids = rows.ids(numbers) if rows.ids is not None else [{}] * len(numbers)
        if taken := [name for name in RESERVED if ids and name in ids[0]]:
            raise UsageError(
                f"id column {taken[0]!r} has the name of a column of the export; rename it, or use npy"
            )
        yield numbers, ids, block.reshape(len(block), *shape)

"""Parquet with one convention: the same table always becomes the same bytes, and no bytes become a bomb.

Columns are neither compressed nor dictionary-encoded: floats hardly shrink, and a reader that insists on it
cannot be made to unpack a small file into a large table.
"""

from __future__ import annotations

from mmap import ACCESS_READ, mmap
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from fusionapp.adapters.filesystem.checksums import open_recorded, open_regular
from fusionapp.domain.errors import CorruptArtifactError


def parquet_bytes(table: pa.Table) -> memoryview:
    """A table as the bytes of a Parquet file; each page carries a checksum."""
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        compression="none",
        use_dictionary=False,
        write_statistics=False,
        write_page_checksum=True,
    )
    return memoryview(sink.getvalue())


def read_parquet(path: Path, size: int | None = None) -> pa.Table:
    """A Parquet file as `parquet_bytes` writes it.

    Args:
        path: the file.
        size: its recorded size in bytes, where there is a record.

    Raises:
        CorruptArtifactError: it is missing, has another size, or was written by somebody else.
    """
    with open_regular(path) if size is None else open_recorded(path, size) as file:
        try:
            with mmap(file.fileno(), 0, access=ACCESS_READ) as mapped:
                return _read(mapped)
        except (ValueError, OSError, pa.ArrowException) as error:
            raise CorruptArtifactError(f"{path}: is no Parquet file of ours: {error}") from error


def _read(mapped: mmap) -> pa.Table:
    # A copy rather than a view: Arrow would keep the mapping open behind our back.
    source = pq.ParquetFile(pa.BufferReader(bytes(mapped)), page_checksum_verification=True)
    metadata = source.metadata
    for group in range(metadata.num_row_groups):
        for index in range(metadata.num_columns):
            column = metadata.row_group(group).column(index)
            if column.compression != "UNCOMPRESSED" or not {"PLAIN", "RLE"}.issuperset(column.encodings):
                raise ValueError(f"column {column.path_in_schema} is compressed")
    return source.read()

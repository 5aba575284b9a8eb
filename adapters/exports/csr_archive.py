"""Sparse embeddings as the .npz that `scipy.sparse.load_npz` reads, written in three passes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import IO, Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from fusionapp.adapters.exports.matrices import check_rows
from fusionapp.application.ports.embedding_file import EmbeddingRows


def write_npz(file: IO[bytes], rows: EmbeddingRows, model: str) -> None:
    """Row starts (8 bytes a row, held in memory), then columns, then weights, each read from the store anew."""
    starts = _row_starts(rows)
    check_rows(rows, len(starts) - 1)
    cells = int(starts[-1])
    wide = max(cells, rows.shape.dim) > np.iinfo(np.int32).max
    index = np.dtype(np.int64 if wide else np.int32)
    with ZipFile(file, "w", ZIP_DEFLATED) as archive:
        _put(archive, "indices", index, (cells,), (block.indices for block in _csr(rows)))
        _put(archive, "indptr", index, (len(starts),), [starts])
        _put(archive, "format", np.dtype("S3"), (), [np.array(b"csr")])
        _put(archive, "shape", np.dtype(np.int64), (2,), [np.array([rows.rows, rows.shape.dim])])
        _put(archive, "data", np.dtype(np.float32), (cells,), (block.data for block in _csr(rows)))
        _put(archive, "_is_array", np.dtype(np.bool_), (), [np.array(True)])


def _csr(rows: EmbeddingRows) -> Iterator[csr_array]:
    for _, block in rows.blocks():
        assert isinstance(block, csr_array), "sparse sets hold CSR"
        yield block


def _row_starts(rows: EmbeddingRows) -> NDArray[np.int64]:
    widths = [np.diff(block.indptr).astype(np.int64) for block in _csr(rows)]
    return np.concatenate([np.zeros(1, np.int64), *widths]).cumsum()


def _put(
    archive: ZipFile, name: str, dtype: np.dtype[Any], shape: tuple[int, ...], parts: Iterable[NDArray[Any]]
) -> None:
    member = ZipInfo(f"{name}.npy")  # dated 1980, so that equal embeddings give equal bytes
    member.compress_type = ZIP_DEFLATED
    with archive.open(member, "w", force_zip64=True) as file:
        header = {"descr": dtype.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for part in parts:
            file.write(np.ascontiguousarray(part, dtype=dtype).tobytes())

"""Shards as .npy files: one for dense embeddings, three (indptr, indices, data) for sparse ones.

The files open with `numpy.load` elsewhere. Here their headers are read by numpy's own parser and their bytes
mapped, so that nothing in a file is ever executed and no memory is taken on a header's word.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray
from scipy.sparse import csr_array

from fusionapp.adapters.filesystem.atomic import Chunk
from fusionapp.adapters.filesystem.checksums import Checksum, open_recorded
from fusionapp.adapters.filesystem.csr import checked_csr
from fusionapp.adapters.filesystem.shard_format import ShardFormat
from fusionapp.domain.embeddings import Embeddings, EmbeddingShape
from fusionapp.domain.errors import CorruptArtifactError

_LONGEST_HEADER = 1024

_SPARSE_PARTS = {"indptr": "<i8", "indices": "<i4", "data": "<f4"}


class NpyShards(ShardFormat):
    """``shard-00000.npy``, or ``shard-00000.indptr.npy``, ``.indices.npy`` and ``.data.npy``."""

    @property
    def name(self) -> str:
        """npy."""
        return "npy"

    def file_names(self, index: int, shape: EmbeddingShape) -> Sequence[str]:
        """One file for dense rows, three for sparse ones."""
        if not shape.sparse:
            return [f"shard-{index:05d}.npy"]
        return [f"shard-{index:05d}.{part}.npy" for part in _SPARSE_PARTS]

    def encode(
        self, index: int, rows: NDArray[np.int64], embeddings: Embeddings, shape: EmbeddingShape
    ) -> Mapping[str, Iterator[Chunk]]:
        """Each array's header and its bytes; nothing is copied that has the right layout."""
        names = self.file_names(index, shape)
        if not isinstance(embeddings, csr_array):
            return {names[0]: _array_file(embeddings, "<f4")}
        parts = zip(names, _SPARSE_PARTS.items(), strict=True)
        return {name: _array_file(getattr(embeddings, part), dtype) for name, (part, dtype) in parts}

    def decode(
        self, directory: Path, files: Mapping[str, Checksum], rows: NDArray[np.int64], shape: EmbeddingShape
    ) -> Embeddings:
        """Memory-mapped arrays; their shapes must be what the record says."""
        kept = len(rows)
        if not shape.sparse:
            [(name, recorded)] = files.items()
            return _mapped(directory / name, recorded.bytes, "<f4", (kept, shape.layers, shape.dim))
        paths = {name.split(".")[-2]: (directory / name, recorded.bytes) for name, recorded in files.items()}
        indptr = _mapped(*paths["indptr"], _SPARSE_PARTS["indptr"], (kept + 1,))
        stored = int(indptr[-1])
        indices = _mapped(*paths["indices"], _SPARSE_PARTS["indices"], (stored,))
        values = _mapped(*paths["data"], _SPARSE_PARTS["data"], (stored,))
        return checked_csr(paths["indptr"][0], values, indices, indptr, (kept, shape.dim))


def _array_file(array: NDArray[Any], dtype: str) -> Iterator[Chunk]:
    """An array as the bytes of an .npy file."""
    header = BytesIO()
    npy.write_array_header_1_0(header, {"descr": dtype, "fortran_order": False, "shape": array.shape})
    yield header.getvalue()
    yield np.ascontiguousarray(array, dtype=dtype).reshape(-1).view(np.uint8).data


def _mapped(path: Path, size: int, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Map an .npy file that must have this size, dtype and shape."""
    with open_recorded(path, size) as file:
        found = _header(path, file)
        if found != (shape, False, np.dtype(dtype)):
            raise CorruptArtifactError(f"{path}: holds {found[2]} {found[0]}, expected {dtype} {shape}")
        offset = file.tell()
        expected = offset + int(np.prod(shape, dtype=object)) * np.dtype(dtype).itemsize
        if expected != size:
            raise CorruptArtifactError(f"{path}: has {size} bytes, its header asks for {expected}")
        if expected == offset:
            return np.zeros(shape, dtype=dtype)
        return np.memmap(file, dtype=dtype, mode="r", offset=offset, shape=shape)


def _header(path: Path, file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    try:
        if npy.read_magic(file) != (1, 0):
            raise ValueError("an .npy version that was not written here")
        shape, fortran, dtype = npy.read_array_header_1_0(file, max_header_size=_LONGEST_HEADER)
    except ValueError as error:
        raise CorruptArtifactError(f"{path}: is no .npy file of ours: {error}") from error
    return shape, fortran, dtype

"""Shards as .npy files: one for dense embeddings, three (indptr, indices, data) for sparse ones.

The files open with `numpy.load` elsewhere. Here a header is compared with the one expected, never parsed (numpy's
parser lets several kinds of exception out of a crafted one), and the bytes are mapped: nothing in a file is ever
executed and no memory is taken on its word.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray
from scipy.sparse import csr_array

from fusionapp.adapters.filesystem.checksums import Checksum, open_recorded
from fusionapp.adapters.filesystem.csr import checked_csr
from fusionapp.adapters.filesystem.disk import Chunk
from fusionapp.adapters.filesystem.shard_format import ShardFormat
from fusionapp.domain.embeddings import Embeddings, EmbeddingShape
from fusionapp.domain.errors import CorruptArtifactError

_MAGIC = b"\x93NUMPY\x01\x00"

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
        expected = _header_text(dtype, shape)
        if _read_header(file) != expected:
            raise CorruptArtifactError(f"{path}: is no .npy file with the header {expected.decode()}")
        offset = file.tell()
        if size - offset != math.prod(shape) * np.dtype(dtype).itemsize:
            raise CorruptArtifactError(f"{path}: holds {size - offset} bytes of numbers, expected {shape}")
        if size == offset:
            return np.zeros(shape, dtype=dtype)
        return np.memmap(file, dtype=dtype, mode="r", offset=offset, shape=shape)


def _header_text(dtype: str, shape: tuple[int, ...]) -> bytes:
    """What numpy writes about an array, less the padding, which differs between its versions."""
    return f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape!r}, }}".encode()


def _read_header(file: BinaryIO) -> bytes:
    """The header of an .npy file of version 1.0, less its padding; anything else makes no header we expect."""
    start = file.read(10)
    if start[:8] != _MAGIC:
        return b""
    return file.read(int.from_bytes(start[8:], "little")).rstrip(b" \n")

"""A matrix of vectors as a .npy file: written as they come, read in blocks that are mapped one at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.adapters.index_files.vectors import checked_parts


@attrs.frozen
class Matrix:
    """Vectors on disk.

    Attributes:
        path: the .npy file.
        rows: how many there are.
        dim: numbers in each.
        offset: bytes before the first.
    """

    path: Path
    rows: int
    dim: int
    offset: int

    def block(self, start: int, stop: int) -> NDArray[np.float32]:
        """Rows [start, stop) as (rows, dim) float32, mapped; the pages go when the array does."""
        shape = (min(stop, self.rows) - start, self.dim)
        place = self.offset + 4 * start * self.dim
        return np.memmap(self.path, dtype="<f4", mode="r", offset=place, shape=shape)

    def blocks(self, block_bytes: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Each block's first row and its vectors, in order."""
        step = max(1, block_bytes // (4 * self.dim))
        for start in range(0, self.rows, step):
            yield start, self.block(start, start + step)

    def sample(self, rows: int, seed: int) -> NDArray[np.float32]:
        """So many rows drawn without replacement, ascending; all where there are no more."""
        if rows >= self.rows:
            return np.array(self.block(0, self.rows))
        chosen = np.sort(np.random.default_rng(seed).choice(self.rows, rows, replace=False))
        return np.array(self.block(0, self.rows)[chosen])


def write_matrix(vectors: Iterable[NDArray[np.float32]], path: Path) -> Matrix:
    """Write what comes, a part at a time.

    Raises:
        UsageError: see `checked_parts`.
    """
    rows, dim = 0, 0
    with path.open("wb") as file:
        for part in checked_parts(vectors):
            if not rows:
                dim = part.shape[1]
                _write_header(file, 0, dim)
            file.write(part.astype("<f4", copy=False).data)
            rows += len(part)
        # NumPy leaves room in the header for the first dimension to grow, so that it can be written when known.
        file.seek(0)
        offset = _write_header(file, rows, dim)
    return Matrix(path, rows, dim, offset)


def read_matrix(path: Path) -> Matrix:
    """A matrix written before; only its header is read.

    Raises:
        ValueError: it is not such a file, or has not as many bytes as its header says.
    """
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise ValueError(f"its .npy version is {version}, not (1, 0)")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        offset = file.tell()
    if fortran or len(shape) != 2 or dtype != np.dtype("<f4") or min(shape) < 1:
        raise ValueError(f"it holds an array {shape} of {dtype}, not rows of float32")
    size = path.stat().st_size
    if size != offset + 4 * shape[0] * shape[1]:
        raise ValueError(f"{size} bytes are not {shape[0]} rows of {shape[1]} numbers")
    return Matrix(path, shape[0], shape[1], offset)


def _write_header(file: IO[bytes], rows: int, dim: int) -> int:
    header = {"descr": "<f4", "fortran_order": False, "shape": (rows, dim)}
    np.lib.format.write_array_header_1_0(file, header)
    return file.tell()

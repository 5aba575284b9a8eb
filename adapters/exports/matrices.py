"""Dense embeddings as one array in a file: .npy, .safetensors and .pt, written a block at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import IO

import numpy as np
from numpy.typing import NDArray

from fusionapp.adapters.exports.whole_files import scratch_file
from fusionapp.application.ports.embedding_file import EmbeddingRows
from fusionapp.domain.embeddings import Dense
from fusionapp.domain.errors import CorruptArtifactError

TENSOR = "embeddings"
"""The tensor's name in a .safetensors file."""


def written_shape(rows: EmbeddingRows) -> tuple[int, ...]:
    """(rows, dim) for one layer, (rows, layers, dim) for several."""
    layers = () if rows.shape.layers == 1 else (rows.shape.layers,)
    return (rows.rows, *layers, rows.shape.dim)


def dense_blocks(rows: EmbeddingRows) -> Iterator[tuple[NDArray[np.int64], Dense]]:
    """Row numbers and blocks (block, layers, dim) float32, contiguous.

    Raises:
        CorruptArtifactError: they are not as many rows as announced: the set was changed meanwhile.
    """
    seen = 0
    for numbers, block in rows.blocks():
        seen += len(numbers)
        yield numbers, np.ascontiguousarray(block, dtype="<f4")
    check_rows(rows, seen)


def check_rows(rows: EmbeddingRows, seen: int) -> None:
    """Refuse a file that lacks rows, or has more than its header says."""
    if seen != rows.rows:
        raise CorruptArtifactError(
            f"export: the store gave {seen} rows and announced {rows.rows}; run `fusionapp verify`, then try again"
        )


def write_npy(file: IO[bytes], rows: EmbeddingRows, model: str) -> None:
    """What `numpy.load` reads, mapped if asked."""
    header = {"descr": "<f4", "fortran_order": False, "shape": written_shape(rows)}
    np.lib.format.write_array_header_1_0(file, header)
    _write_raw(file, rows)


def write_safetensors(file: IO[bytes], rows: EmbeddingRows, model: str) -> None:
    """One tensor called ``embeddings``: eight bytes of length, a JSON header, and the numbers."""
    shape = written_shape(rows)
    size = 4 * int(np.prod(shape, dtype=np.int64))
    header = {
        "__metadata__": {"model": model},
        TENSOR: {"dtype": "F32", "shape": list(shape), "data_offsets": [0, size]},
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # so that the numbers stand aligned
    file.write(len(text).to_bytes(8, "little") + text)
    _write_raw(file, rows)


def write_pt(file: IO[bytes], rows: EmbeddingRows, model: str) -> None:
    """What ``torch.load(..., weights_only=True)`` reads: one tensor.

    torch saves whole tensors only. The numbers therefore go to a file first, which backs the tensor that is saved:
    its pages are read as they are written and given back, and memory stays flat for twice the disk.
    """
    import torch

    shape = written_shape(rows)
    with scratch_file(file) as raw:
        _write_raw(raw, rows)
        raw.flush()
        numbers = int(np.prod(shape, dtype=np.int64))
        mapped = (
            torch.from_file(raw.name, shared=False, size=numbers, dtype=torch.float32)
            if numbers
            else torch.empty(0)
        )
        torch.save(mapped.view(shape), file)


def _write_raw(file: IO[bytes], rows: EmbeddingRows) -> None:
    for _, block in dense_blocks(rows):
        file.write(block.data)

"""A matrix in a file, whatever its format: its shape is known at once, its rows are read when asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import attrs
import numpy as np

from fusionapp.domain.embeddings import Dense
from fusionapp.domain.errors import UsageError

Ranges: TypeAlias = "Sequence[tuple[int, int]]"

_WIDEST = 2**20
"""Numbers of one row. 80 layers of 8,192 are fewer; a header that says more would fill the memory."""


@attrs.frozen
class Matrix:
    """Rows of one embedding each.

    Attributes:
        rows: how many.
        layers: of each; 1 where the file has two axes.
        dim: numbers in a layer.
        read: as `SplitVectors.read`.
    """

    rows: int
    layers: int
    dim: int
    read: Callable[[Ranges], Iterator[Dense]]


def layers_and_dim(shape: Sequence[int], origin: str) -> tuple[int, int]:
    """Of a file with axes (rows, dim) or (rows, layers, dim).

    Raises:
        UsageError: other axes, or empty or absurd ones.
    """
    if len(shape) not in (2, 3):
        raise UsageError(
            f"{origin}: {len(shape)} axes {tuple(shape)}; expected (rows, dim) or (rows, layers, dim): reshape it"
        )
    layers, dim = (1, int(shape[1])) if len(shape) == 2 else (int(shape[1]), int(shape[2]))
    if layers < 1 or dim < 1 or layers * dim > _WIDEST:
        raise UsageError(f"{origin}: rows of shape ({layers}, {dim}) are no embeddings; check the file")
    return layers, dim


def sliced(
    matrix: Any, shape: tuple[int, int], convert: Callable[[Any], Any]
) -> Callable[[Ranges], Iterator[Dense]]:
    """A reader of something that slices by row; `convert` makes numpy of a slice."""

    def read(ranges: Ranges) -> Iterator[Dense]:
        for start, stop in ranges:
            yield to_float32(convert(matrix[start:stop]), (stop - start, *shape))

    return read


def streamed(blocks: Callable[[], Iterable[Dense]]) -> Callable[[Ranges], Iterator[Dense]]:
    """A reader of something that comes in order, in blocks of its own size."""

    def read(ranges: Ranges) -> Iterator[Dense]:
        remaining = iter(blocks())
        held, first = next(remaining, None), 0
        for start, stop in ranges:
            parts, at = [], start
            while at < stop and held is not None:
                if at < first + len(held):
                    parts.append(held[at - first : stop - first])
                    at += len(parts[-1])
                if at >= first + len(held):
                    first += len(held)
                    held = next(remaining, None)
            yield parts[0] if len(parts) == 1 else np.concatenate(parts)

    return read


def to_float32(block: Any, shape: tuple[int, ...]) -> Dense:
    """A block as (rows, layers, dim) float32; what float32 cannot hold becomes infinite, which is refused."""
    with np.errstate(over="ignore"):
        converted: Dense = np.array(block, dtype=np.float32).reshape(shape)
    return converted

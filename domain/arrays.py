"""One formula for numpy and torch: the array namespace, and types under which a Tensor in is a Tensor out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from array_api_compat import array_namespace

from fusionapp.domain.errors import UsageError


class Shaped(Protocol):
    """What numpy arrays and torch tensors say of themselves alike."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The size of each dimension."""

    @property
    def dtype(self) -> Any:
        """The element type, in the library's own terms."""

    @property
    def device(self) -> Any:
        """Where the numbers live."""


class Array(Shaped, Protocol):
    """The arithmetic that the formulas use, operators only; functions come from `namespace`."""

    def __getitem__(self, key: Any, /) -> Any: ...

    def __add__(self, other: Any, /) -> Any: ...

    def __sub__(self, other: Any, /) -> Any: ...

    def __mul__(self, other: Any, /) -> Any: ...

    def __truediv__(self, other: Any, /) -> Any: ...

    def __matmul__(self, other: Any, /) -> Any: ...

    def __or__(self, other: Any, /) -> Any: ...

    def __invert__(self) -> Any: ...


A = TypeVar("A", bound=Array)
"""The caller's array type: ndarray in, ndarray out; Tensor in, Tensor out, with its gradient."""


def namespace(*arrays: Shaped) -> Any:
    """The array-API namespace that all these arrays share.

    Raises:
        TypeError: numpy and torch are mixed, or something is not an array.
    """
    return array_namespace(*arrays)


def broadcast_leading(arrays: Sequence[A], core: int = 1) -> list[A]:
    """The arrays with their leading dimensions broadcast; the last `core` dimensions stay as they are.

    Heads are stacked over seeds, so a source (batch, dim) may stand beside a fused (seeds, batch, dim).

    Raises:
        UsageError: the leading dimensions do not broadcast.
    """
    xp = namespace(*arrays)
    leads = [tuple(array.shape[: len(array.shape) - core]) for array in arrays]
    if all(lead == leads[0] for lead in leads):
        return list(arrays)
    depth = max(map(len, leads))
    padded = [(1,) * (depth - len(lead)) + lead for lead in leads]
    common = tuple(next((size for size in sizes if size != 1), 1) for sizes in zip(*padded, strict=True))
    if any(size not in (1, wide) for lead in padded for size, wide in zip(lead, common, strict=True)):
        shapes = ", ".join(str(tuple(array.shape)) for array in arrays)
        raise UsageError(f"leading dimensions of {shapes} do not broadcast; give every source the same rows")
    return [xp.broadcast_to(a, common + tuple(a.shape[len(a.shape) - core :])) for a in arrays]

"""The one model that an encoder holds in memory."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Loaded(Generic[T]):
    """A model and how it was loaded; another process, to which its encoder is sent, starts without one."""

    def __init__(self) -> None:
        self._held: tuple[Hashable, T] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing was loaded yet, or all was freed."""
        return self._held is None

    def get(self, how: Hashable, load: Callable[[], T]) -> T:
        """The model that is held, if it was loaded like this; else it is freed, and another one loaded."""
        if self._held is None or self._held[0] != how:
            self.free()
            self._held = (how, load())
        return self._held[1]

    def free(self) -> None:
        """Let go of the model, and of the GPU memory that torch keeps for it."""
        if self._held is None:
            return
        self._held = None
        from fusionapp.adapters.torch_shared.device import free_cached_memory

        free_cached_memory()

    def __reduce__(self) -> tuple[type[Loaded[T]], tuple[()]]:
        """Without the model."""
        return type(self), ()

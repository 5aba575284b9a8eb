"""Telling people how far a long job is."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol


class ProgressTask(Protocol):
    """One bar."""

    def advance(self, amount: int, **rates: float) -> None:
        """`amount` more units are done; `rates` are shown beside the bar (tokens=..., padding=...)."""


class Progress(Protocol):
    """Opens bars."""

    def task(self, name: str, total: int, unit: str, done: int = 0) -> AbstractContextManager[ProgressTask]:
        """A bar of `total` units, of which `done` were done before (on resume)."""

"""Progress that nobody watches, and a run that nobody follows."""

from __future__ import annotations

from collections.abc import Mapping


class Silence:
    """A `Progress` and a `ProgressTask` that say nothing."""

    def task(self, name: str, total: int, unit: str, done: int = 0) -> Silence:
        return self

    def advance(self, amount: int, **rates: float) -> None: ...

    def __enter__(self) -> Silence:
        return self

    def __exit__(self, *_: object) -> None: ...


class Unheard:
    """A `Tracker` that keeps nothing."""

    def log(self, run: str, step: int, metrics: Mapping[str, float]) -> None: ...

    def close(self) -> None: ...

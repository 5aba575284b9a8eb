"""Progress that nobody watches."""

from __future__ import annotations


class Silence:
    """A `Progress` and a `ProgressTask` that say nothing."""

    def task(self, name: str, total: int, unit: str, done: int = 0) -> Silence:
        return self

    def advance(self, amount: int, **rates: float) -> None: ...

    def __enter__(self) -> Silence:
        return self

    def __exit__(self, *_: object) -> None: ...

"""Writing one shard while the next is computed."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from time import perf_counter
from types import TracebackType


class WriteBehind:
    """Does one thing at a time in the background, in order; a failure comes up with the next one.

    Attributes:
        waited: seconds that the giver was held up.
    """

    def __init__(self) -> None:
        self.waited = 0.0
        self._pool = ThreadPoolExecutor(1, "write")
        self._last: Future[None] | None = None

    def submit(self, commit: Callable[[], None]) -> None:
        """Begin a commit once the one before is done."""
        self.finish()
        self._last = self._pool.submit(commit)

    def finish(self) -> None:
        """Wait for the last one."""
        last, self._last = self._last, None
        if last is not None:
            start = perf_counter()
            try:
                last.result()
            finally:
                self.waited += perf_counter() - start

    def __enter__(self) -> WriteBehind:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let what was begun come to its end: it is whole, and worth keeping."""
        self._pool.shutdown(wait=True)

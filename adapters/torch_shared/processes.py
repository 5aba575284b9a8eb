"""Worker processes that end with their parent, however it ends."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import parent_process, resource_tracker
from multiprocessing.connection import wait
from threading import Thread


def die_with_parent() -> None:
    """Let this process end at once when its parent does; a killed parent can stop nothing itself."""
    parent = parent_process()
    assert parent is not None, "called in a worker process"

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    Thread(target=watch, name="parent", daemon=True).start()


@contextmanager
def deaf_to_interrupts() -> Iterator[None]:
    """Start processes in this block, and they never see Ctrl-C, which a terminal sends to every process.

    Their parent sees it and ends them; by themselves each would print a traceback, even while it starts.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # It is started with the first process, and its start would let interrupts through again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

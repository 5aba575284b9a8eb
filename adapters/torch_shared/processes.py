"""Worker processes that end with their parent, however it ends."""

from __future__ import annotations

import os
from multiprocessing import parent_process
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

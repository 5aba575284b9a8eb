"""Processes that kill themselves at every call of a write in turn: ``store_failpoints.py ROOT ADAPTER SHAPE``.

Process k writes to ROOT/k and dies just before call k; the last one lives to the end. Prints how many there were.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from fakes.disks import EventfulDisk, mounted
from store_sets import DENSE, SPARSE, make_header, write_set


def write(root: Path, adapter: str, shape: str, call: int) -> None:
    """Write a set, or die at a call."""
    left = call

    def die(_call: str, _name: str) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    with mounted(EventfulDisk(die)):
        write_set(root, adapter, make_header(SPARSE if shape == "sparse" else DENSE, rows=6))


def main(root: str, adapter: str, shape: str) -> None:
    """Fork a process for each call, until one is not killed."""
    write(Path(root) / "first", adapter, shape, sys.maxsize)  # so that libraries are imported once
    call, status = 0, signal.SIGKILL.value
    while status == signal.SIGKILL:
        process = os.fork()
        if process == 0:
            write(Path(root) / str(call), adapter, shape, call)
            os._exit(0)
        _, status = os.waitpid(process, 0)
        call += 1
    print(call)
    sys.exit(status)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Which processes a process has started, and whether they live. By /proc, so on Linux alone."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from pathlib import Path
from time import monotonic, sleep


def workers(parent: int) -> list[int]:
    """Worker processes that Python's multiprocessing started for a process."""
    return [pid for pid in children(parent) if b"spawn_main" in _read(pid, "cmdline")]


def descendants(parent: int) -> set[int]:
    """Children, their children, and so on."""
    found = set(children(parent))
    return found.union(*(descendants(pid) for pid in found))


def children(parent: int) -> list[int]:
    """Processes that a process has started itself."""
    numbers = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [pid for pid in numbers if _fields(pid)[1:2] == [b"%d" % parent]]


def kill(pid: int) -> bool:
    """SIGKILL a process; False where it has ended before."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def seconds_until_gone(pids: Iterable[int], limit: float) -> float:
    """Wait for all of them to end, and say how long that took."""
    begun = monotonic()
    left = set(pids)
    while left := {pid for pid in left if is_running(pid)}:
        assert monotonic() < begun + limit, f"still running after {limit} s: {left}"
        sleep(0.01)
    return monotonic() - begun


def is_running(pid: int) -> bool:
    """Whether it is there and no zombie."""
    return _fields(pid)[:1] not in ([], [b"Z"])


def _fields(pid: int) -> list[bytes]:
    """State, parent, and what follows in ``/proc/PID/stat`` after the name, which may hold blanks."""
    return _read(pid, "stat").rpartition(b")")[2].split()


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""

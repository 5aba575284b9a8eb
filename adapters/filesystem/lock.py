"""One writer at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from fusionapp.adapters.filesystem import disk
from fusionapp.adapters.filesystem.atomic import LOCK, disk_errors, make_directory, remove_temporaries
from fusionapp.domain.errors import LockedError


@contextmanager
def exclusive(directory: Path) -> Iterator[None]:
    """Hold a directory's lock, created where needed, and clear a killed writer's temporary files away.

    The operating system holds the lock for the process, so that it ends with it, SIGKILL included.

    Raises:
        LockedError: another writer, in this process or another, has it.
        UsageError: the directory cannot be written to.
    """
    make_directory(directory)
    lock = FileLock(directory / LOCK)
    try:
        with disk_errors(directory):
            lock.acquire(blocking=False)
    except Timeout as error:
        raise LockedError(
            f"{directory}: another process is writing here; wait until it ends, or stop it"
        ) from error
    try:
        with disk_errors(directory):
            remove_temporaries(directory)
            # A killed holder may have renamed a file and not come to this; what is written next builds on it.
            disk.DISK.sync_directory(directory)
        yield
    finally:
        lock.release()

"""The few calls by which this folder changes a disk; everything durable goes through them.

Tests put a disk in their place that records, fails or kills the process at a chosen call.
"""

from __future__ import annotations

import os
from io import FileIO
from pathlib import Path
from typing import TypeAlias

Chunk: TypeAlias = "bytes | memoryview"


class Disk:
    """The operating system's own calls, unbuffered, so that a write that returned has reached the system.

    All raise OSError as the system does.
    """

    def create(self, path: Path) -> FileIO:
        """Open a file for writing that must not be there yet."""
        return FileIO(path, "xb")

    def reopen(self, path: Path) -> FileIO:
        """Open a file that is there for writing; its content stays."""
        return FileIO(path, "r+b")

    def write(self, file: FileIO, chunk: Chunk) -> None:
        """Write a whole chunk where the file stands."""
        rest = memoryview(chunk).cast("B")
        while rest:  # the system takes 2 GiB at a time, and less when it is interrupted
            rest = rest[file.write(rest) :]

    def truncate(self, file: FileIO, size: int) -> None:
        """Cut a file to `size` bytes and stand at its end."""
        file.truncate(size)
        file.seek(size)

    def sync(self, file: FileIO) -> None:
        """Make a file's bytes and size durable; its name is the directory's."""
        os.fsync(file.fileno())

    def replace(self, source: Path, target: Path) -> None:
        """Give a file another name, in place of what had it, in one step."""
        source.replace(target)

    def unlink(self, path: Path) -> None:
        """Remove a name, where it is there."""
        path.unlink(missing_ok=True)

    def make_directory(self, path: Path) -> None:
        """Create a directory, unless it is there; its parent must be."""
        path.mkdir(exist_ok=True)

    def sync_directory(self, path: Path) -> None:
        """Make the names in a directory durable: a renamed file is lost with them otherwise."""
        if os.name == "nt":  # Windows cannot open a directory
            return
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


DISK = Disk()

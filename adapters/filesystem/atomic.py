"""Writing files so that a crash leaves the old one or the new one, never half of one."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from hashlib import sha256
from io import RawIOBase
from pathlib import Path
from secrets import token_hex
from types import TracebackType
from typing import Any, TypeAlias

from fusionapp.adapters.filesystem.checksums import Checksum
from fusionapp.domain.errors import ResourceError, UsageError

Chunk: TypeAlias = "bytes | memoryview"

TEMPORARY = ".fusionapp-*.tmp"
"""What a write in progress is called; a leftover of a killed process is removed by the next lock holder."""

LOCK = ".lock"
"""The lock's file: always empty, never removed (removing it would let two writers lock two files)."""

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST}


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Say what the operating system's refusals mean.

    Raises:
        ResourceError: the disk, the quota or the file-size limit is used up.
        UsageError: the place cannot be written to.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise ResourceError(
                f"{path}: {error.strerror}; free some space and run again: what was recorded is kept"
            ) from error
        if error.errno in _FORBIDDEN:
            raise UsageError(f"{path}: cannot be written: {error.strerror}; choose another place") from error
        raise


def make_directory(path: Path) -> None:
    """Create a directory and its parents, each durable in its own parent."""
    with disk_errors(path):
        missing = [place for place in (path, *path.parents) if not place.is_dir()]
        path.mkdir(parents=True, exist_ok=True)
        for place in missing:
            sync_directory(place.parent)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable: a renamed file is lost with them otherwise."""
    if os.name == "nt":  # Windows cannot open a directory
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Replacement(RawIOBase):
    """A file written beside its final place, hashed on the way, and moved there when it is whole.

    It is a binary file for whoever writes (pyarrow), and a context manager that throws away what was not put.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self._path = directory / TEMPORARY.replace("*", token_hex(8))
        self._digest = sha256()
        self._bytes = 0
        with disk_errors(self._path):
            self._file = self._path.open("xb")

    def writable(self) -> bool:
        """Always; it is never read."""
        return True

    def tell(self) -> int:
        """Bytes written."""
        return self._bytes

    def write(self, chunk: Any) -> int:
        """Append a whole bytes-like chunk.

        Raises:
            ResourceError: the disk is full.
        """
        with disk_errors(self._path):
            self._file.write(chunk)
        self._digest.update(chunk)
        size = memoryview(chunk).nbytes
        self._bytes += size
        return size

    def finish(self) -> Checksum:
        """Make the bytes durable, still under the temporary name.

        Raises:
            ResourceError: the disk is full.
        """
        with disk_errors(self._path):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        return Checksum(self._digest.hexdigest(), self._bytes)

    def put(self, path: Path) -> None:
        """Move the finished file to its place; `sync_directory` makes the move itself durable."""
        with disk_errors(path):
            self._path.replace(path)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # a full disk fails again on closing; it was reported the first time
            self._file.close()
        self._path.unlink(missing_ok=True)
        super().__exit__(kind, error, trace)


def replace_files(directory: Path, files: Mapping[str, Iterable[Chunk]]) -> dict[str, Checksum]:
    """Write several files whole and durably, and only then move them into their directory.

    Raises:
        ResourceError: the disk is full; nothing was replaced.
        UsageError: the directory cannot be written to.
    """
    with ExitStack() as stack:
        written = {name: stack.enter_context(Replacement(directory)) for name in files}
        for name, chunks in files.items():
            for chunk in chunks:
                written[name].write(chunk)
        checksums = {name: file.finish() for name, file in written.items()}
        for name, file in written.items():
            file.put(directory / name)
        with disk_errors(directory):
            sync_directory(directory)
    return checksums


def replace_file(path: Path, content: bytes) -> Checksum:
    """Write one file whole and durably.

    Raises:
        ResourceError: the disk is full; the old file stands.
        UsageError: the place cannot be written to.
    """
    return replace_files(path.parent, {path.name: [content]})[path.name]


def remove_temporaries(directory: Path) -> None:
    """Remove what a killed writer left behind; only the holder of the directory's lock may.

    Directories below that have a lock of their own are left to whoever holds that.
    """
    for leftover in directory.glob(TEMPORARY):
        leftover.unlink(missing_ok=True)
    for below in directory.iterdir():
        if below.is_dir() and not below.is_symlink() and not (below / LOCK).exists():
            remove_temporaries(below)

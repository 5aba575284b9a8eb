"""Writing files so that a crash leaves the old one or the new one, never half of one."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from hashlib import sha256
from io import RawIOBase
from pathlib import Path
from secrets import token_hex
from types import TracebackType
from typing import Any

from fusionapp.adapters.filesystem import disk
from fusionapp.adapters.filesystem.checksums import Checksum
from fusionapp.adapters.filesystem.disk import Chunk
from fusionapp.domain.errors import ResourceError, UsageError

TEMPORARY = ".fusionapp-*.tmp"
"""What a write in progress is called; a leftover of a killed process is removed by the next lock holder."""

LOCK = ".lock"
"""The lock's file: always empty, never removed (removing it would let two writers lock two files)."""

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP}


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Say what the operating system's refusals mean.

    Raises:
        ResourceError: the disk, the quota or the file-size limit is used up, or the disk fails.
        UsageError: the place cannot be written to.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise ResourceError(
                f"{path}: {error.strerror}; free some space and run again: what was recorded is kept"
            ) from error
        if error.errno == errno.EIO:
            raise ResourceError(
                f"{path}: {error.strerror}: the disk fails; look after it and run again: what was recorded is kept"
            ) from error
        if error.errno in _FORBIDDEN:
            raise UsageError(f"{path}: cannot be written: {error.strerror}; choose another place") from error
        raise


def make_directory(path: Path) -> None:
    """Create a directory and its parents, each durable in its own parent before anything is put into it.

    The deepest one that is there already may be what a killed process made and did not come to sync.
    """
    with disk_errors(path):
        missing = [place for place in (path, *path.parents) if not place.is_dir()]
        deepest = (missing[-1].parent if missing else path).absolute()
        with suppress(OSError):  # what holds it may be somebody else's, or a file system that cannot sync
            disk.DISK.sync_directory(deepest.parent)
        for place in reversed(missing):
            disk.DISK.make_directory(place)
            disk.DISK.sync_directory(place.parent)


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
            self._file = disk.DISK.create(self._path)

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
            disk.DISK.write(self._file, chunk)
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
            disk.DISK.sync(self._file)
            self._file.close()
        return Checksum(self._digest.hexdigest(), self._bytes)

    def put(self, path: Path) -> None:
        """Move the finished file to its place; `Disk.sync_directory` makes the move itself durable."""
        with disk_errors(path):
            disk.DISK.replace(self._path, path)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # a failing disk fails again; it was reported the first time
            self._file.close()
            disk.DISK.unlink(self._path)
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
            disk.DISK.sync_directory(directory)
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
        disk.DISK.unlink(leftover)
    for below in directory.iterdir():
        if below.is_dir() and not below.is_symlink() and not (below / LOCK).exists():
            remove_temporaries(below)

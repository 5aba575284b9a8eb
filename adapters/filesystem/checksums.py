"""Opening files without being led astray, and what their bytes hash to."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import file_digest
from io import BufferedReader
from pathlib import Path
from stat import S_ISREG

import attrs
from attrs.validators import ge, instance_of, matches_re

from fusionapp.domain.errors import CorruptArtifactError, UsageError

_NOT_THERE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO}


@contextmanager
def disk_reads(path: Path) -> Iterator[None]:
    """A place on the disk that cannot be read any more is damage like any other.

    Raises:
        CorruptArtifactError: the disk fails.
    """
    try:
        yield
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        raise CorruptArtifactError(f"{path}: cannot be read: {error.strerror}") from error


@attrs.frozen
class Checksum:
    """What a file's bytes are known by.

    Attributes:
        sha256: 64 lower-case hex digits.
        bytes: its size.
    """

    sha256: str = attrs.field(validator=[instance_of(str), matches_re("[0-9a-f]{64}")])
    bytes: int = attrs.field(validator=[instance_of(int), ge(0)])


def open_regular(path: Path) -> BufferedReader:
    """Open a plain file for reading; links, pipes and devices are refused, not followed.

    Raises:
        CorruptArtifactError: it is missing, or is something else than a plain file.
        UsageError: it may not be read.
    """
    # A pipe would block `open` until somebody writes into it, hence O_NONBLOCK; plain files ignore it.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        descriptor = os.open(path, flags | getattr(os, "O_BINARY", 0))
    except PermissionError as error:
        raise UsageError(f"{path}: may not be read; ask its owner for permission") from error
    except OSError as error:
        if error.errno not in _NOT_THERE:  # too many open files, say, is no damage
            raise
        what = "is a symbolic link" if path.is_symlink() else "is missing"
        raise CorruptArtifactError(f"{path}: {what}") from error
    if not S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise CorruptArtifactError(f"{path}: is not a plain file")
    return os.fdopen(descriptor, "rb")


def open_recorded(path: Path, size: int) -> BufferedReader:
    """Open a plain file that must have a recorded size.

    Raises:
        CorruptArtifactError: it is missing, no plain file, or has another size.
    """
    file = open_regular(path)
    found = os.fstat(file.fileno()).st_size
    if found != size:
        file.close()
        raise CorruptArtifactError(f"{path}: has {found} bytes, {size} were recorded")
    return file


def hash_file(path: Path) -> Checksum:
    """SHA-256 and size of a plain file.

    Raises:
        CorruptArtifactError: it is missing, is something else than a plain file, or cannot be read any more.
    """
    with disk_reads(path), open_regular(path) as file:
        return Checksum(file_digest(file, "sha256").hexdigest(), file.tell())


def difference(path: Path, recorded: Checksum) -> str | None:
    """What distinguishes a file from its record, or None; a wrong size saves the hashing."""
    try:
        with disk_reads(path), open_recorded(path, recorded.bytes) as file:
            found = file_digest(file, "sha256").hexdigest()
    except CorruptArtifactError as error:
        return str(error).removeprefix(f"{path}: ")
    if found != recorded.sha256:
        return f"has SHA-256 {found[:12]}..., {recorded.sha256[:12]}... was recorded"
    return None

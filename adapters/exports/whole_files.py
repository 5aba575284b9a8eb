"""Several files that belong together, each written whole, and none moved to its place before all are."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from secrets import token_hex
from typing import IO

from fusionapp.domain.errors import FusionAppError, ResourceError, UsageError


@contextmanager
def whole_files(paths: Sequence[Path]) -> Iterator[list[IO[bytes]]]:
    """Open files for writing; they appear under their names when the block ends well, and not at all otherwise.

    Raises:
        UsageError: a place cannot be written to.
        ResourceError: the disk is full.
    """
    with disk_errors(paths[0]), ExitStack() as stack:
        parts = [path.with_name(f".{path.name}.{token_hex(4)}.tmp") for path in paths]
        files: list[IO[bytes]] = []
        for path, part in zip(paths, parts, strict=True):
            if path.is_dir():
                raise UsageError(f"{path}: cannot be written: it is a directory; choose another name")
            path.parent.mkdir(parents=True, exist_ok=True)
            stack.callback(part.unlink, missing_ok=True)
            files.append(stack.enter_context(part.open("xb")))
        yield files
        for file in files:
            file.flush()
            os.fsync(file.fileno())
        for path, part in zip(paths, parts, strict=True):
            part.replace(path)
        for parent in {path.parent for path in paths}:
            _sync(parent)


@contextmanager
def scratch_file(beside: IO[bytes]) -> Iterator[IO[bytes]]:
    """A file on the same disk as another, gone when the block ends."""
    path = Path(f"{beside.name}.raw")
    with ExitStack() as stack:
        stack.callback(path.unlink, missing_ok=True)
        yield stack.enter_context(path.open("xb"))


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Say what the operating system's refusals mean.

    Raises:
        ResourceError: the disk or the quota is used up.
        UsageError: the place cannot be written to.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, FusionAppError):
            raise
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        kind: type[FusionAppError] = ResourceError if full else UsageError
        raise kind(
            f"{path}: cannot be written: {error.strerror}; free space or choose another place"
        ) from error


def _sync(directory: Path) -> None:
    """Make the new names durable: a renamed file is lost with them otherwise."""
    if os.name == "nt":  # Windows cannot open a directory
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

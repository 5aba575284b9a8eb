"""What the process returns, and how an error becomes one readable line."""

from __future__ import annotations

import errno
from enum import IntEnum

from fusionapp.domain.errors import (
    CorruptArtifactError,
    FusionAppError,
    LockedError,
    ResourceError,
    UpstreamError,
)


class ExitCode(IntEnum):
    """Exit codes of every command."""

    COMPLETE = 0
    USAGE = 2
    CORRUPT = 3
    LOCKED = 4
    QUARANTINED = 5
    UPSTREAM = 6
    RESOURCE = 7
    INTERRUPTED = 130


def exit_code(error: BaseException) -> ExitCode | None:
    """The code of an error that fusionapp or the system raised on purpose; None for a fault of our own."""
    kinds: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], ExitCode], ...] = (
        (CorruptArtifactError, ExitCode.CORRUPT),
        (LockedError, ExitCode.LOCKED),
        (UpstreamError, ExitCode.UPSTREAM),
        ((ResourceError, MemoryError), ExitCode.RESOURCE),
        (FusionAppError, ExitCode.USAGE),
        (KeyboardInterrupt, ExitCode.INTERRUPTED),
        ((PermissionError, FileNotFoundError, IsADirectoryError, NotADirectoryError), ExitCode.USAGE),
    )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ExitCode.RESOURCE
    return next((code for kind, code in kinds if isinstance(error, kind)), None)

"""Writing an index beside its place, and moving it there when it is whole."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex

from fusionapp.domain.errors import CorruptArtifactError, FusionAppError, ResourceError, UsageError


@contextmanager
def whole_file(path: str) -> Iterator[Path]:
    """A place to write to; what stands there appears under `path` when the block ends well, and never otherwise.

    Raises:
        UsageError: the place cannot be written to.
        ResourceError: memory or the disk is used up.
    """
    final = Path(path)
    if final.is_dir():
        raise UsageError(f"{path}: cannot be written: it is a directory; choose another name")
    part = final.with_name(f".{final.name}.{token_hex(4)}.tmp")
    with _refusals(path):
        try:
            final.parent.mkdir(parents=True, exist_ok=True)
            yield part
            with part.open("rb+") as file:
                os.fsync(file.fileno())
            part.replace(final)
        finally:
            part.unlink(missing_ok=True)


@contextmanager
def reading(path: str, kind: str) -> Iterator[None]:
    """Say of whatever a reader trips over that the file is no such index.

    Raises:
        CorruptArtifactError: it is missing, or not an index of the kind.
        ResourceError: memory is used up.
    """
    wrong = f"{path}: cannot be read as an index of kind {kind!r}; build it again with `fusionapp index`"
    if not Path(path).is_file():
        raise CorruptArtifactError(f"{wrong}: there is no such file")
    try:
        yield
    except FusionAppError:
        raise
    except MemoryError as error:
        raise ResourceError(f"{path}: memory ran out while the index was read") from error
    except (OSError, ValueError, RuntimeError, TypeError, KeyError) as error:
        raise CorruptArtifactError(f"{wrong}: {error}") from error


@contextmanager
def _refusals(path: str) -> Iterator[None]:
    try:
        yield
    except FusionAppError:
        raise
    except MemoryError as error:
        raise ResourceError(
            f"{path}: memory ran out while the index was built; the kind numpy builds in flat memory"
        ) from error
    except RuntimeError as error:  # what the C++ libraries make of a full disk
        raise ResourceError(f"{path}: the index was not written: {error}; free space or memory") from error
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
        kind: type[FusionAppError] = ResourceError if full else UsageError
        raise kind(
            f"{path}: cannot be written: {error.strerror}; free space or choose another place"
        ) from error

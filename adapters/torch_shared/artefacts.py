"""Files of a saved model: written whole or not at all, read with suspicion."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile

from fusionapp.domain.errors import CorruptArtifactError, FusionAppError, ResourceError, UsageError


def write_whole(path: Path, content: bytes) -> None:
    """Write, flush to disk and rename, so that a crash leaves the old file or the new, never a part.

    Raises:
        OSError: the disk is full, or the folder may not be written to.
    """
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        temporary = Path(file.name)
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            temporary.chmod(0o644)  # a temporary file is its owner's alone
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def read_whole(path: Path) -> bytes:
    """A whole file.

    Raises:
        CorruptArtifactError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise CorruptArtifactError(f"{path}: cannot be read ({error.strerror}); train again") from error


@contextmanager
def whole_directory(path: str) -> Iterator[Path]:
    """A draft beside `path` that takes its place when the block ends, and is gone where it fails.

    Files are to lie in the draft itself, not in folders of it.

    Raises:
        UsageError: there is something already.
        ResourceError: the disk is full, or may not be written to.
    """
    place = Path(path)
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise UsageError(f"{path}: is there already; name a new directory")
    draft = place.absolute().with_name(f".{place.name}.{os.getpid()}.tmp")
    try:
        draft.mkdir(parents=True)
        yield draft
        _settle(draft, place)
    except FusionAppError:  # some are an OSError, too
        raise
    except OSError as error:
        raise ResourceError(
            f"{path}: cannot be written ({error.strerror or error}); free space or choose another place"
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _settle(draft: Path, place: Path) -> None:
    """Flush everything, then rename: a crash leaves the whole directory or none."""
    for path in (*draft.iterdir(), draft):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    place.parent.mkdir(parents=True, exist_ok=True)
    draft.rename(place)

"""Files of a saved model: written whole or not at all, read with suspicion."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import NamedTemporaryFile

from fusionapp.domain.errors import CorruptArtifactError


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

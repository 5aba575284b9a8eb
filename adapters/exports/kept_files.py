"""Exported files that are left as they stand while nothing that they were made of has changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from fusionapp.adapters.exports.embedding_files import EmbeddingFileSet
from fusionapp.application.ports.embedding_file import EmbeddingFile, EmbeddingRows
from fusionapp.domain.embeddings import Json, fingerprint


@attrs.define
class KeptEmbeddingFiles(EmbeddingFile):
    """Writes an `EmbeddingFileSet`, unless its files stand as an earlier call left them.

    A file counts as that if its size and its time of change are those of the record: reading gigabytes again to be
    sure would cost what writing them does. Libraries' versions alone are no reason to write.

    Attributes:
        files: what to write.
        record: of an earlier call, and afterwards of this one; None where there was none.
        written: whether this call wrote.
    """

    files: EmbeddingFileSet
    record: Mapping[str, Json] | None = None
    written: bool = False

    def write(self, path: str, rows: EmbeddingRows, metadata: Mapping[str, Json]) -> Sequence[str]:
        """Write what is not there."""
        basis = fingerprint(
            {
                "metadata": {key: value for key, value in metadata.items() if key != "versions"},
                "formats": list(self.files.formats),
                "name": Path(path).name,
            }
        )
        folder = Path(path).parent
        if self.record is not None and self.record.get("basis") == basis:
            known = self.record["files"]
            if known == _looks(folder, known):
                return [str(folder / name) for name in known]
        remove_torn(path)
        paths = self.files.write(path, rows, metadata)
        self.written = True
        self.record = {"basis": basis, "files": _looks(folder, [Path(one).name for one in paths])}
        return paths


def remove_torn(path: str) -> None:
    """Remove what a killed writer of such files left behind; the caller holds the directory's lock."""
    place = Path(path)
    for part in place.parent.glob(".*.tmp*"):
        if part.name.startswith(f".{place.name}.") and part.is_file():
            part.unlink()


def _looks(folder: Path, names: Sequence[str] | Mapping[str, Json]) -> dict[str, Json]:
    """Size and time of change of each file that is there."""
    found = {}
    for name in names:
        place = folder / name
        if place.is_file():
            status = place.stat()
            found[name] = [status.st_size, status.st_mtime_ns]
    return found

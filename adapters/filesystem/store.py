"""Sets of embeddings as directories of shards: ``ROOT/FORMAT/KEY/manifest.jsonl`` and ``shard-00000.*``.

The format is part of the path, so that a changed `storage.adapter` begins a set of its own beside the old one
and never mixes with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os.path import lexists
from pathlib import Path

import attrs

from fusionapp.adapters.filesystem.atomic import replace_file
from fusionapp.adapters.filesystem.lock import exclusive
from fusionapp.adapters.filesystem.manifest import MANIFEST, trusted_manifest
from fusionapp.adapters.filesystem.names import child
from fusionapp.adapters.filesystem.reader import FileStoredEmbeddings
from fusionapp.adapters.filesystem.records import header_line, parse_header
from fusionapp.adapters.filesystem.sealed import Log, seal
from fusionapp.adapters.filesystem.shard_format import ShardFormat, shard_format
from fusionapp.adapters.filesystem.verification import verify_set
from fusionapp.adapters.filesystem.writer import FileEmbeddingWriter
from fusionapp.application.ports.embedding_store import EmbeddingStore, Header, Problem
from fusionapp.domain.errors import CorruptArtifactError


@attrs.frozen
class FileEmbeddingStore(EmbeddingStore):
    """Embeddings in files of one format.

    Attributes:
        root: the experiment's `storage.root`; created when the first set is written.
        form: how shards become files; given by its name, the experiment's `storage.adapter`.
    """

    root: Path = attrs.field(converter=Path)
    form: ShardFormat = attrs.field(converter=shard_format)

    def locate(self, key: str) -> str:
        """The set's directory."""
        return str(self._directory(key))

    @contextmanager
    def write(self, key: str, header: Header) -> Iterator[FileEmbeddingWriter]:
        """Begin or resume a set under its lock."""
        directory = self._directory(key)
        with exclusive(directory):
            if not lexists(directory / MANIFEST):
                line = header_line(header, self.form.name)
                parse_header(line, self.form.name)
                replace_file(directory / MANIFEST, seal(line))
            manifest = trusted_manifest(directory, self.form)
            _check_same_set(directory, manifest.header, header)
            log = Log(directory / MANIFEST, manifest.end)
            yield FileEmbeddingWriter(directory, self.form, manifest.header, dict(manifest.records), log)

    def read(self, key: str) -> FileStoredEmbeddings | None:
        """The set as it stands now; a writer's later shards are not seen."""
        directory = self._directory(key)
        if not (directory / MANIFEST).exists():
            return None
        return FileStoredEmbeddings(directory, self.form, trusted_manifest(directory, self.form))

    def keys(self) -> Sequence[str]:
        """Every set of this format under the root; one that lost its manifest too, so that `verify` tells."""
        folder = self.root / self.form.name
        if not folder.is_dir():
            return []
        places = (place for place in folder.iterdir() if place.is_dir() and not place.is_symlink())
        return sorted(place.name for place in places if not place.name.startswith("."))

    def verify(self, key: str) -> Sequence[Problem]:
        """Every byte of a set against its record; files are named relative to the root."""
        return verify_set(self.root, self._directory(key), self.form)

    def _directory(self, key: str) -> Path:
        return child(child(self.root, self.form.name, "storage.adapter"), key, "key")


def _check_same_set(directory: Path, found: Header, wanted: Header) -> None:
    """A set keeps the plan and the shard size of its first run; all else is what it is."""
    kept = attrs.evolve(wanted, plan=found.plan, shard_rows=found.shard_rows)
    if seal(header_line(kept, "")) != seal(header_line(found, "")):
        raise CorruptArtifactError(
            f"{directory}: holds embeddings with the fingerprint {found.fingerprint[:12]}..., not "
            f"{wanted.fingerprint[:12]}... as its name says; remove it and extract again"
        )

"""Reading a set of embeddings."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

from fusionapp.adapters.filesystem.checksums import difference, open_recorded
from fusionapp.adapters.filesystem.manifest import Manifest
from fusionapp.adapters.filesystem.records import ShardRecord
from fusionapp.adapters.filesystem.shard_format import ShardFormat
from fusionapp.application.ports.embedding_store import Header, StoredEmbeddings, StoredShard, StoreStatus
from fusionapp.domain.embeddings import Embeddings
from fusionapp.domain.errors import CorruptArtifactError


class FileStoredEmbeddings(StoredEmbeddings):
    """A set as its manifest stood when it was opened."""

    def __init__(self, directory: Path, form: ShardFormat, manifest: Manifest) -> None:
        """Nothing is opened until it is asked for."""
        self._directory = directory
        self._form = form
        self._manifest = manifest

    @property
    def header(self) -> Header:
        """What the set is."""
        return self._manifest.header

    def status(self) -> StoreStatus:
        """How far it has come; files are looked at, not hashed."""
        durable = [record for record in self._manifest.records.values() if self._is_there(record)]
        quarantined = tuple(item for record in durable for item in record.quarantined)
        rows = sum(record.kept for record in durable)
        return StoreStatus(
            rows=self.header.rows,
            durable_rows=rows,
            quarantined=quarantined,
            truncated=sum(record.truncated for record in durable),
            complete=rows + len(quarantined) == self.header.rows,
        )

    def rows(self) -> NDArray[np.int64]:
        """(kept,) row numbers of the recorded shards."""
        records = self._manifest.records.values()
        return np.concatenate([np.zeros(0, np.int64), *(record.rows() for record in records)])

    def shards(self) -> Iterator[tuple[NDArray[np.int64], Embeddings]]:
        """Row numbers and embeddings, a shard at a time, each hashed before it is used."""
        for record in self._manifest.records.values():
            self._check(record)
            rows = record.rows()
            yield rows, self._form.decode(self._directory, record.files, rows, self.header.shape)

    def shard(self, index: int) -> StoredShard | None:
        """One shard, hashed before it is used."""
        record = self._manifest.records.get(index)
        if record is None:
            return None
        try:
            self._check(record)
            embeddings = self._form.decode(self._directory, record.files, record.rows(), self.header.shape)
        except CorruptArtifactError:
            return None
        return StoredShard(
            record.shard, record.rows(), embeddings, record.truncated, record.quarantined, record.notes
        )

    def load(self) -> Embeddings:
        """All kept rows in order; a single shard stays memory-mapped, several are copied into one array."""
        shape = self.header.shape
        if len(self._manifest.records) == 1:
            [(_, embeddings)] = self.shards()
            return embeddings
        if shape.sparse:
            return self._load_sparse()
        size = (len(self.rows()), shape.layers, shape.dim)
        self._check_size(size)
        loaded = np.empty(size, dtype=np.float32)
        stop = 0
        for rows, embeddings in self.shards():
            start, stop = stop, stop + len(rows)
            assert not isinstance(embeddings, csr_array)
            loaded[start:stop] = embeddings
        return loaded

    def _load_sparse(self) -> csr_array:
        # An empty matrix in front, so that a set without shards has its width.
        parts = [csr_array(np.empty((0, self.header.shape.dim), dtype=np.float32))]
        parts += (csr_array(embeddings) for _, embeddings in self.shards())
        return csr_array(vstack(parts, format="csr"))

    def _check_size(self, size: tuple[int, int, int]) -> None:
        """See that the shards can hold so many numbers, before memory is taken on a header's word."""
        found = 0
        for record in self._manifest.records.values():
            self._look_at(record)
            found += sum(recorded.bytes for recorded in record.files.values())
        if found < 4 * prod(size):
            raise CorruptArtifactError(
                f"{self._directory}: its shards hold {found} bytes, too few for {size}"
            )

    def _check(self, record: ShardRecord) -> None:
        for name, recorded in record.files.items():
            problem = difference(self._directory / name, recorded)
            if problem is not None:
                raise CorruptArtifactError(
                    f"{self._directory / name}: {problem}; run `fusionapp extract` again"
                )

    def _is_there(self, record: ShardRecord) -> bool:
        try:
            self._look_at(record)
        except CorruptArtifactError:
            return False
        return True

    def _look_at(self, record: ShardRecord) -> None:
        for name, recorded in record.files.items():
            open_recorded(self._directory / name, recorded.bytes).close()

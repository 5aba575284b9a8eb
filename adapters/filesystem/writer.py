"""Writing a set of embeddings, shard by shard."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fusionapp.adapters.filesystem.atomic import replace_files
from fusionapp.adapters.filesystem.checksums import difference
from fusionapp.adapters.filesystem.commits import canonical, check_commit
from fusionapp.adapters.filesystem.records import ShardRecord, all_shards, shard_line
from fusionapp.adapters.filesystem.sealed import Log
from fusionapp.adapters.filesystem.shard_format import ShardFormat
from fusionapp.application.ports.embedding_store import EmbeddingWriter, Header, Quarantined, Shard
from fusionapp.domain.embeddings import Dense, Embeddings


class FileEmbeddingWriter(EmbeddingWriter):
    """Made by `FileEmbeddingStore.write`, which holds the lock for it."""

    def __init__(
        self, directory: Path, form: ShardFormat, header: Header, records: dict[int, ShardRecord], log: Log
    ) -> None:
        """Continue after the records that stand in the log."""
        self._directory = directory
        self._form = form
        self._header = header
        self._records = records
        self._log = log

    @property
    def header(self) -> Header:
        """The header on disk."""
        return self._header

    def pending(self) -> Sequence[Shard]:
        """Shards to encode; hashes every recorded file, so call it once."""
        return [shard for shard in all_shards(self._header) if not self._is_durable(shard)]

    def commit(
        self,
        shard: Shard,
        rows: NDArray[np.int64],
        embeddings: Embeddings,
        truncated: int,
        quarantined: Sequence[Quarantined] = (),
        notes: Sequence[str] = (),
    ) -> None:
        """Make a shard's files durable, then its record."""
        check_commit(self._header, shard, rows, embeddings, truncated, quarantined)
        written = replace_files(
            self._directory,
            self._form.encode(shard.index, rows, canonical(embeddings), self._header.shape),
        )
        record = ShardRecord(shard, written, truncated, tuple(quarantined), tuple(notes))
        # A damaged shard that was encoded to the same bytes again is as recorded; a second line would
        # distinguish this manifest from an uninterrupted run's.
        if self._records.get(shard.index) != record:
            self._log.append(shard_line(record))
            self._records[shard.index] = record

    def fetch(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.bool_], Dense]:
        """Embeddings of rows whose shards are durable, each shard opened once."""
        shape = self._header.shape
        if shape.sparse:
            raise ValueError("rows of a sparse set are not fetched")
        present = np.zeros(len(rows), dtype=np.bool_)
        vectors = np.zeros((len(rows), shape.layers, shape.dim), dtype=np.float32)
        owners = rows // self._header.shard_rows
        for index in np.unique(owners).tolist():
            record = self._records.get(index)
            if record is None:
                raise ValueError(f"shard {index} is not durable")
            kept = record.rows()
            wanted = np.flatnonzero(owners == index)
            wanted = wanted[np.isin(rows[wanted], kept)]
            shard = np.asarray(self._form.decode(self._directory, record.files, kept, shape))
            present[wanted] = True
            vectors[wanted] = shard[np.searchsorted(kept, rows[wanted])]
        return present, vectors

    def _is_durable(self, shard: Shard) -> bool:
        record = self._records.get(shard.index)
        return record is not None and not any(
            difference(self._directory / name, recorded) for name, recorded in record.files.items()
        )

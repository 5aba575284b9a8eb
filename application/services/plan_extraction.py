"""Say what an extraction would do, without encoding anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import attrs

from fusionapp.application.ports.embedding_store import EmbeddingStore
from fusionapp.application.ports.encoder import Encoder
from fusionapp.application.ports.spool import SpooledSplit
from fusionapp.application.services.extracted_sets import job_header, set_key
from fusionapp.application.services.import_embeddings import describing
from fusionapp.application.services.read_splits import OnEmpty, ReadSplits

SAMPLE = 512
"""Texts that token counts are estimated from."""


@attrs.frozen
class PlannedSet:
    """What one encoder would do over one split.

    Attributes:
        encoder: its name.
        split: which split.
        directory: where the set would stand.
        texts: rows of the whole job.
        missing_texts: rows that are not on disk yet.
        shards: shards of the whole job.
        tokens: estimated tokens of the missing rows.
        disk_bytes: estimated size of the missing rows on disk.
        choices: what the encoder chose and why.
    """

    encoder: str
    split: str
    directory: str
    texts: int
    missing_texts: int
    shards: int
    tokens: int
    disk_bytes: int
    choices: Sequence[str]


@attrs.frozen
class PlanExtraction:
    """Reads the dataset and asks each encoder.

    Attributes:
        read: spools the dataset.
        store: knows what is there already.
    """

    read: ReadSplits
    store: EmbeddingStore

    def __call__(
        self,
        encoders: Mapping[str, Encoder],
        shard_rows: int,
        splits: Sequence[str] = (),
        limit: int | None = None,
        on_empty: OnEmpty = "error",
    ) -> list[PlannedSet]:
        """One line per encoder and split. Arguments are those of `ExtractDataset`."""
        spooled = self.read(splits, limit, on_empty)
        return [
            self._plan(name, encoder, split, texts, shard_rows)
            for name, encoder in encoders.items()
            for split, texts in spooled.items()
        ]

    def _plan(
        self, name: str, encoder: Encoder, split: str, texts: SpooledSplit, shard_rows: int
    ) -> PlannedSet:
        header = job_header(describing(encoder, split), texts, shard_rows)
        key = set_key(header)
        stored = self.store.read(key)
        status = stored.status() if stored is not None else None
        done = status.durable_rows + len(status.quarantined) if status is not None else 0
        missing = texts.rows - done
        sample = list(_sample(texts))
        tokens = sum(encoder.count_tokens(sample)) / max(len(sample), 1)
        # A sparse row keeps about one (index, value) pair per token; a dense one has a fixed size.
        numbers = 2 * tokens if header.shape.sparse else header.shape.layers * header.shape.dim
        return PlannedSet(
            encoder=name,
            split=split,
            directory=self.store.locate(key),
            texts=texts.rows,
            missing_texts=missing,
            shards=-(-texts.rows // (stored.header.shard_rows if stored is not None else shard_rows)),
            tokens=round(tokens * missing),
            disk_bytes=round(numbers * 4 * missing),
            choices=list(encoder.choices),
        )


def _sample(texts: SpooledSplit) -> Iterator[str]:
    """Texts at even distances, so that a sorted file does not mislead."""
    step = max(1, texts.rows // SAMPLE)
    for row in range(0, texts.rows, step):
        yield from texts.texts(row, row + 1)

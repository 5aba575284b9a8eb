"""Say what an extraction would do, without encoding anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np

from fusionapp.application.ports.embedding_store import EmbeddingStore
from fusionapp.application.ports.encoder import Encoder
from fusionapp.application.ports.spool import SpooledSplit
from fusionapp.application.services.extracted_sets import job_header, set_key
from fusionapp.application.services.import_embeddings import describing
from fusionapp.application.services.read_splits import OnEmpty, ReadSplits
from fusionapp.domain.token_lengths import TokenLengths

STEP = 4096
"""Texts in memory at a time."""


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
        tokens: of the missing rows, estimated from the mean of all.
        disk_bytes: estimated size of the missing rows on disk.
        choices: what the encoder chose and why.
        lengths: how many tokens the texts have, and how many of them are cut.
        batch_tokens: most tokens in a batch, padding included.
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
    lengths: TokenLengths
    batch_tokens: int


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
        lengths = _measure(encoder, texts)
        tokens = lengths.mean
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
            lengths=lengths,
            batch_tokens=encoder.plan(texts.rows).batch_tokens,
        )


def _measure(encoder: Encoder, texts: SpooledSplit) -> TokenLengths:
    """Every text counted once; four bytes are kept of each."""
    lengths = np.empty(texts.rows, dtype=np.int32)
    truncated = 0
    for start in range(0, texts.rows, STEP):
        stop = min(start + STEP, texts.rows)
        lengths[start:stop], cut = encoder.measure(texts.texts(start, stop))
        truncated += int(cut.sum())
    return TokenLengths.of(lengths, truncated)

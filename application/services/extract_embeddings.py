"""Embed spooled texts with one encoder, a durable shard at a time."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from time import perf_counter

import attrs
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from fusionapp.application.ports.embedding_store import (
    EmbeddingStore,
    EmbeddingWriter,
    Header,
    Quarantined,
    Shard,
    StoreStatus,
)
from fusionapp.application.ports.encoder import Encoder
from fusionapp.application.ports.imported_vectors import SplitVectors
from fusionapp.application.ports.progress import Progress, ProgressTask
from fusionapp.application.ports.spool import SpooledSplit
from fusionapp.domain.embeddings import (
    Embeddings,
    EmbeddingShape,
    Encoding,
    ExecutionPlan,
    fingerprint,
    take_rows,
)

logger = logging.getLogger(__name__)


@attrs.frozen
class ExtractedSet:
    """One encoder's embeddings of one split.

    Attributes:
        split: which split.
        key: the set's name in the store.
        directory: where it stands.
        shape: of one text's embedding.
        status: how far it has come.
        seconds: spent on encoding and writing now; 0 where everything was there.
        encoded_rows: rows encoded now.
        tokens: tokens encoded now.
        padded_tokens: the same with padding.
    """

    split: str
    key: str
    directory: str
    shape: EmbeddingShape
    status: StoreStatus
    seconds: float = 0.0
    encoded_rows: int = 0
    tokens: int = 0
    padded_tokens: int = 0


@attrs.frozen
class ExtractEmbeddings:
    """Runs an encoder over what the store lacks.

    Attributes:
        store: where embeddings are kept.
        progress: told of every batch.
    """

    store: EmbeddingStore
    progress: Progress

    def __call__(
        self, name: str, encoder: Encoder, splits: Mapping[str, SpooledSplit], shard_rows: int
    ) -> list[ExtractedSet]:
        """Embed every split; shards that are on disk as recorded are kept.

        Args:
            name: the encoder's name in the experiment, for progress and logs.
            encoder: loaded only where a shard is missing, and freed before this returns.
            splits: the texts.
            shard_rows: texts in a shard; an interrupted set keeps its own.

        Raises:
            LockedError: another process writes the same set.
            UpstreamError, ResourceError: as the encoder and the store say.
        """
        try:
            return [self._split(name, encoder, split, texts, shard_rows) for split, texts in splits.items()]
        finally:
            encoder.close()

    def _split(
        self, name: str, encoder: Encoder, split: str, texts: SpooledSplit, shard_rows: int
    ) -> ExtractedSet:
        header = job_header(encoder, texts, shard_rows)
        key = set_key(header)
        start, encoded, tokens, padded = perf_counter(), 0, 0, 0
        with self.store.write(key, header) as writer:
            pending = writer.pending()
            # Everything but the device is the header's: where a set that was begun elsewhere is resumed, closeness
            # takes the place of equal bytes.
            plan = attrs.evolve(writer.header.plan, device=header.plan.device)
            missing = sum(shard.stop - shard.start for shard in pending)
            with self.progress.task(f"{name} {split}", texts.rows, "texts", texts.rows - missing) as task:
                for shard in pending:
                    encoding = _encode_shard(encoder, texts, shard, writer, plan, task)
                    encoded += shard.stop - shard.start
                    tokens += encoding.tokens
                    padded += encoding.padded_tokens
        stored = self.store.read(key)
        assert stored is not None, "a set that was written can be read"
        return ExtractedSet(
            split=split,
            key=key,
            directory=self.store.locate(key),
            shape=stored.header.shape,
            status=stored.status(),
            seconds=perf_counter() - start if pending else 0.0,
            encoded_rows=encoded,
            tokens=tokens,
            padded_tokens=padded,
        )


def job_header(encoder: Encoder | SplitVectors, texts: SpooledSplit, shard_rows: int) -> Header:
    """What a set of these texts by this encoder is, before anything is encoded."""
    identity = dict(encoder.identity)
    return Header(
        fingerprint=fingerprint({"encoder": identity, "texts": texts.texts_sha256}),
        identity=identity,
        texts_sha256=texts.texts_sha256,
        rows=texts.rows,
        shard_rows=shard_rows,
        shape=encoder.shape,
        plan=encoder.plan(texts.rows),
    )


def set_key(header: Header) -> str:
    """The set's name, ``huggingface-3f2a9c...``: what a model is called does not change a vector."""
    slug = re.sub(r"[^a-z0-9]+", "-", str(header.identity.get("adapter")).lower()).strip("-")
    return f"{slug or 'encoder'}-{header.fingerprint[:16]}"


def _encode_shard(
    encoder: Encoder,
    texts: SpooledSplit,
    shard: Shard,
    writer: EmbeddingWriter,
    plan: ExecutionPlan,
    task: ProgressTask,
) -> Encoding:
    batch = texts.texts(shard.start, shard.stop)
    filled = np.array([bool(text.strip()) for text in batch], dtype=np.bool_)
    encoding = encoder.encode(
        [text for text, has_words in zip(batch, filled, strict=True) if has_words],
        plan,
        lambda count, tokens: task.advance(count, tokens=tokens),
    )
    task.advance(int((~filled).sum()))
    rows = np.flatnonzero(filled).astype(np.int64) + shard.start
    failed = encoding.failed | ~_finite_rows(encoding.embeddings)
    kept = ~failed
    begun = writer.header.plan.device
    notes = [
        *encoding.notes,
        *([f"computed on {plan.device}, begun on {begun}"] if plan.device != begun else []),
    ]
    writer.commit(
        shard,
        rows[kept],
        take_rows(encoding.embeddings, np.flatnonzero(kept).astype(np.int64)),
        int(encoding.truncated[kept].sum()),
        _left_out(shard, filled, rows[failed]),
        notes,
    )
    for note in notes:
        logger.warning("shard %d: %s", shard.index, note)
    return encoding


def _finite_rows(embeddings: Embeddings) -> NDArray[np.bool_]:
    """(rows,) True where every number is finite: one NaN would spread over everything trained on it."""
    if isinstance(embeddings, csr_array):
        finite = np.ones(embeddings.shape[0], dtype=np.bool_)
        finite[embeddings.tocoo().row[~np.isfinite(embeddings.data)]] = False
        return finite
    return np.asarray(np.isfinite(embeddings).all(axis=(1, 2)))


def _left_out(shard: Shard, filled: NDArray[np.bool_], failed: NDArray[np.int64]) -> Sequence[Quarantined]:
    blank = [Quarantined(int(row) + shard.start, "blank text") for row in np.flatnonzero(~filled)]
    broken = [Quarantined(int(row), "not finite in any precision tried") for row in failed]
    return sorted(blank + broken, key=lambda quarantined: quarantined.row)

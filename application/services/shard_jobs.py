"""What is to be encoded of a shard, and how a shard is put together from it.

A text that stands in several rows is encoded once: later rows take the vector of the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from fusionapp.application.ports.embedding_store import EmbeddingWriter, Quarantined, Shard
from fusionapp.application.ports.spool import SpooledSplit
from fusionapp.domain.embeddings import Embeddings, EmbeddingShape, Encoding, take_rows

BROKEN = "not finite in any precision tried"


@attrs.frozen(eq=False)
class ShardJob:
    """One shard's work.

    Attributes:
        shard: which rows.
        texts: to be encoded, each once.
        sources: (rows of the shard,) int64: the row whose vector each one takes, itself where it is encoded
            here; -1 where the text is blank.
        repeats: texts of the rows that repeat a row of an earlier shard, in row order.
    """

    shard: Shard
    texts: Sequence[str]
    sources: NDArray[np.int64]
    repeats: Sequence[str]

    @property
    def encoded(self) -> NDArray[np.int64]:
        """(texts,) int64, the rows that `texts` stand in, ascending."""
        rows = np.arange(self.shard.start, self.shard.stop, dtype=np.int64)
        own: NDArray[np.int64] = rows[self.sources == rows]
        return own


def shard_job(texts: SpooledSplit, shard: Shard, first: NDArray[np.int64] | None) -> ShardJob:
    """See what a shard needs; `first` is what `first_rows` said of all texts."""
    batch = texts.texts(shard.start, shard.stop)
    rows = np.arange(shard.start, shard.stop)
    sources = rows if first is None else first[shard.start : shard.stop]
    blank = np.array([not text.strip() for text in batch], dtype=np.bool_)
    sources = np.where(blank, -1, sources)
    return ShardJob(
        shard,
        texts=[batch[place] for place in np.flatnonzero(sources == rows)],
        sources=sources,
        repeats=[batch[place] for place in np.flatnonzero(~blank & (sources < shard.start))],
    )


@attrs.frozen(eq=False)
class FinishedShard:
    """What is committed; see `EmbeddingWriter.commit`."""

    rows: NDArray[np.int64]
    embeddings: Embeddings
    truncated: int
    quarantined: Sequence[Quarantined]


def finish_shard(
    job: ShardJob,
    encoding: Encoding,
    repeats_cut: NDArray[np.bool_],
    writer: EmbeddingWriter,
    shape: EmbeddingShape,
) -> FinishedShard:
    """Put a shard together; the shards before it are durable.

    Args:
        job: what was asked for.
        encoding: of the job's texts.
        repeats_cut: (repeats,) bool, which of `job.repeats` are longer than the encoder takes.
        writer: knows the rows of earlier shards.
        shape: of one text's embedding.
    """
    found = ~encoding.failed & finite_rows(encoding.embeddings)
    reasons = {int(row): encoding.reasons.get(place, BROKEN) for place, row in enumerate(job.encoded)}
    rows = np.arange(job.shard.start, job.shard.stop)
    filled = job.sources >= 0
    if np.array_equal(job.encoded, rows[filled]):  # no repeats, the usual case: nothing is copied
        kept = np.flatnonzero(found).astype(np.int64)
        return FinishedShard(
            job.encoded[kept],
            take_rows(encoding.embeddings, kept) if len(kept) < len(found) else encoding.embeddings,
            int(encoding.truncated[kept].sum()),
            list(_quarantined(job, job.encoded[~found], reasons)),
        )
    own = np.asarray(encoding.embeddings)  # repeats are looked for in dense sets alone
    vectors = np.zeros((len(rows), shape.layers, shape.dim), dtype=np.float32)
    present, cut = np.zeros(len(rows), dtype=np.bool_), np.zeros(len(rows), dtype=np.bool_)
    here = job.sources >= job.shard.start
    places = np.searchsorted(job.encoded, job.sources[here])
    vectors[here], present[here] = own[places], found[places]
    cut[here] = encoding.truncated[places]
    earlier = filled & ~here
    if earlier.any():
        present[earlier], vectors[earlier] = writer.fetch(job.sources[earlier])
        cut[earlier] = repeats_cut
    return FinishedShard(
        rows[present],
        vectors[present],
        int(cut[present].sum()),
        list(_quarantined(job, rows[filled & ~present], reasons)),
    )


def _quarantined(job: ShardJob, failed: NDArray[np.int64], reasons: dict[int, str]) -> Iterator[Quarantined]:
    """The rows left out, ascending; a repeat is left out with the row that it repeats."""
    broken = set(failed.tolist())
    for place, source in enumerate(job.sources.tolist()):
        row = job.shard.start + place
        if source < 0:
            yield Quarantined(row, "blank text")
        elif row in broken:
            yield Quarantined(
                row, reasons.get(source, f"the same text as row {source}, which is quarantined")
            )


def finite_rows(embeddings: Embeddings) -> NDArray[np.bool_]:
    """(rows,) True where every number is finite: one NaN would spread over everything trained on it."""
    if isinstance(embeddings, csr_array):
        finite = np.ones(embeddings.shape[0], dtype=np.bool_)
        finite[embeddings.tocoo().row[~np.isfinite(embeddings.data)]] = False
        return finite
    return np.asarray(np.isfinite(embeddings).all(axis=(1, 2)))

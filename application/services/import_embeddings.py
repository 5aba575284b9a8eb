"""Take embeddings that were made elsewhere into the store, once they are known to fit the texts."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter

import attrs
import numpy as np

from fusionapp.application.ports.embedding_store import EmbeddingStore
from fusionapp.application.ports.encoder import Encoder
from fusionapp.application.ports.imported_vectors import SplitVectors, VectorsBySplit
from fusionapp.application.ports.progress import Progress
from fusionapp.application.ports.spool import SpooledSplit
from fusionapp.application.services.extracted_sets import (
    Effort,
    ExtractedSet,
    job_header,
    set_key,
    written_set,
)
from fusionapp.domain.embeddings import Dense
from fusionapp.domain.errors import UsageError


@attrs.frozen
class ImportEmbeddings:
    """Stands in for `ExtractEmbeddings` where an encoder has vectors and no model.

    Attributes:
        store: where embeddings are kept.
        progress: told of every shard.
    """

    store: EmbeddingStore
    progress: Progress

    def __call__(
        self, name: str, encoder: VectorsBySplit, splits: Mapping[str, SpooledSplit], shard_rows: int
    ) -> list[ExtractedSet]:
        """Import every split; shards that are on disk as recorded are kept.

        Args:
            name: the encoder's name in the experiment, for progress and messages.
            encoder: the vectors.
            splits: the texts that they stand for.
            shard_rows: texts in a shard; an interrupted set keeps its own.

        Raises:
            UsageError: another number of rows than of texts, or a number that is not finite; names file and row.
            LockedError: another process writes the same set.
        """
        found = {split: encoder.of_split(split) for split in splits}
        for split, vectors in found.items():
            _check_rows(name, split, vectors, splits[split])
        return [
            self._split(name, split, vectors, splits[split], shard_rows) for split, vectors in found.items()
        ]

    def _split(
        self, name: str, split: str, vectors: SplitVectors, texts: SpooledSplit, shard_rows: int
    ) -> ExtractedSet:
        header = job_header(vectors, texts, shard_rows)
        key = set_key(header)
        start = perf_counter()
        with self.store.write(key, header) as writer:
            pending = writer.pending()
            ranges = [(shard.start, shard.stop) for shard in pending]
            missing = sum(stop - first for first, stop in ranges)
            with self.progress.task(f"{name} {split}", texts.rows, "texts", texts.rows - missing) as task:
                for shard, block in zip(pending, vectors.read(ranges), strict=True):
                    _check_finite(vectors, shard.start, block)
                    writer.commit(shard, np.arange(shard.start, shard.stop), block, truncated=0)
                    task.advance(len(block))
        effort = Effort(seconds=perf_counter() - start if pending else 0.0)
        return written_set(self.store, split, key, effort)


def describing(encoder: Encoder, split: str) -> Encoder | SplitVectors:
    """What says which set a split's embeddings are: the encoder, or the vectors imported for that split.

    A set of imported vectors is known by its own file alone, so that a split can be imported without the others.
    """
    return encoder.of_split(split) if isinstance(encoder, VectorsBySplit) else encoder


def _check_rows(name: str, split: str, vectors: SplitVectors, texts: SpooledSplit) -> None:
    if vectors.rows != texts.rows:
        raise UsageError(
            f"{vectors.origin}: {vectors.rows} rows for encoder {name!r}, and {split} has {texts.rows} texts; row "
            "i must be the embedding of text i: name the matrix of this split, or the dataset it was made from"
        )


def _check_finite(vectors: SplitVectors, start: int, block: Dense) -> None:
    finite = np.isfinite(block).all(axis=(1, 2))
    if not finite.all():
        raise UsageError(
            f"{vectors.origin}: row {start + int(finite.argmin())} (counted from 0) holds a number that is not "
            "finite in float32; embed that text again, or take it out of matrix and dataset"
        )

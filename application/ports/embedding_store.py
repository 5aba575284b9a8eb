"""Keeping embeddings: sharded, hashed, resumable, one writer at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.embeddings import Dense, Embeddings, EmbeddingShape, ExecutionPlan, Json


@attrs.frozen
class Header:
    """What a stored set of embeddings is, written before its first shard and never changed.

    Attributes:
        fingerprint: of `identity` and `texts_sha256` together; the set's key.
        identity: everything but the texts that changes a vector.
        texts_sha256: fingerprint of the texts in order.
        rows: how many texts the whole job has.
        shard_rows: texts in each shard but the last.
        shape: the shape of one text's embedding.
        plan: how the vectors are computed, reused on resume.
    """

    fingerprint: str
    identity: Mapping[str, Json]
    texts_sha256: str
    rows: int
    shard_rows: int
    shape: EmbeddingShape
    plan: ExecutionPlan


@attrs.frozen
class Shard:
    """A range of rows: shard `index` holds texts [start, stop)."""

    index: int
    start: int
    stop: int


@attrs.frozen
class Quarantined:
    """A row that no precision tried could encode, or whose text is blank."""

    row: int
    reason: str


@attrs.frozen
class Problem:
    """Something in the store that is not what was written: the file, relative to the root, and what is wrong."""

    file: str
    problem: str


@attrs.frozen
class StoreStatus:
    """How far a stored set has come, counting durable rows only.

    Attributes:
        rows: texts of the whole job.
        durable_rows: rows whose shard is recorded and on disk.
        quarantined: rows left out, with reasons.
        truncated: how many durable texts were cut to the encoder's max length.
        complete: every row is durable or quarantined.
    """

    rows: int
    durable_rows: int
    quarantined: tuple[Quarantined, ...]
    truncated: int
    complete: bool


class EmbeddingWriter(Protocol):
    """The one writer of a set, holding its lock."""

    @property
    def header(self) -> Header:
        """The header on disk: an earlier run's where this one resumes it."""

    def pending(self) -> Sequence[Shard]:
        """Shards that are not on disk as recorded, in order: missing ones and ones that do not verify."""

    def commit(
        self,
        shard: Shard,
        rows: NDArray[np.int64],
        embeddings: Embeddings,
        truncated: int,
        quarantined: Sequence[Quarantined] = (),
        notes: Sequence[str] = (),
    ) -> None:
        """Make a shard durable, then record it.

        Args:
            shard: which one.
            rows: (kept,) row numbers that the embeddings stand for, ascending; the shard's rows less quarantined.
            embeddings: (kept, layers, dim) float32 or CSR (kept, vocabulary).
            truncated: how many of the kept texts were cut.
            quarantined: the shard's rows that are left out.
            notes: anything that happened to this shard (an out-of-memory retry).

        Raises:
            ResourceError: the disk is full.
        """

    def fetch(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.bool_], Dense]:
        """Embeddings of rows whose shards are durable.

        Args:
            rows: (rows,) row numbers, in any order.

        Returns:
            (rows,) bool, False where the row is quarantined, and (rows, layers, dim) float32 with zeros there.

        Raises:
            ValueError: a row's shard is not durable, or the set is sparse.
            CorruptArtifactError: a shard has another size than recorded.
        """


@attrs.frozen(eq=False)
class StoredShard:
    """A durable shard, as it was committed; see `EmbeddingWriter.commit`."""

    shard: Shard
    rows: NDArray[np.int64]
    embeddings: Embeddings
    truncated: int
    quarantined: tuple[Quarantined, ...]
    notes: tuple[str, ...]


class StoredEmbeddings(Protocol):
    """A reader of one set; arrays are memory-mapped where the format allows."""

    @property
    def header(self) -> Header:
        """What the set is."""

    def status(self) -> StoreStatus:
        """How far it has come."""

    def rows(self) -> NDArray[np.int64]:
        """(kept,) row numbers that stand in the set, ascending."""

    def shards(self) -> Iterator[tuple[NDArray[np.int64], Embeddings]]:
        """Row numbers and embeddings, a shard at a time.

        Raises:
            CorruptArtifactError: the next shard is missing, or not the bytes that were recorded.
        """

    def shard(self, index: int) -> StoredShard | None:
        """One shard; None where it is not durable, or not the bytes that were recorded."""

    def load(self) -> Embeddings:
        """All kept rows in order as one array.

        Raises:
            CorruptArtifactError: a shard is missing, or not the bytes that were recorded.
        """


class EmbeddingStore(Protocol):
    """Sets of embeddings under one root, keyed by a name that ends in their fingerprint."""

    def locate(self, key: str) -> str:
        """Where the set stands, for people and for `embeddings.json`."""

    def write(self, key: str, header: Header) -> AbstractContextManager[EmbeddingWriter]:
        """Begin or resume a set under its lock.

        A set already there with the same fingerprint keeps its own header (plan, shard size).

        Raises:
            LockedError: another process writes it.
            CorruptArtifactError: its manifest was changed, or belongs to something else.
        """

    def read(self, key: str) -> StoredEmbeddings | None:
        """The set, or None where nothing was begun.

        Raises:
            CorruptArtifactError: its manifest was changed.
        """

    def keys(self) -> Sequence[str]:
        """Every set under the root."""

    def verify(self, key: str) -> Sequence[Problem]:
        """Every byte of a set against its recorded SHA-256. An incomplete set is not a problem."""

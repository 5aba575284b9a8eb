"""Stores in memory, held to the same contract suites as the ones on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

from fusionapp.application.ports.embedding_store import (
    EmbeddingStore,
    EmbeddingWriter,
    Header,
    Problem,
    Quarantined,
    Shard,
    StoredEmbeddings,
    StoredShard,
    StoreStatus,
)
from fusionapp.application.ports.run_store import Column, RunStore
from fusionapp.application.ports.spool import Spool, SpooledSplit
from fusionapp.domain.embeddings import Dense, Embeddings, Json, fingerprint_texts
from fusionapp.domain.errors import CorruptArtifactError, DatasetError, LockedError, UsageError
from fusionapp.domain.examples import Example


@attrs.frozen(eq=False)
class MemoryShard:
    """A committed shard; `notes` is there for tests to look at."""

    rows: NDArray[np.int64]
    embeddings: Embeddings
    truncated: int
    quarantined: tuple[Quarantined, ...]
    notes: tuple[str, ...]


@attrs.define(eq=False)
class MemorySet(StoredEmbeddings):
    """One set; reads what stands in it now."""

    header: Header
    committed: dict[int, MemoryShard] = attrs.field(factory=dict)
    damaged: set[int] = attrs.field(factory=set)
    locked: bool = False

    def status(self) -> StoreStatus:
        shards = [self.committed[index] for index in sorted(self.committed)]
        quarantined = tuple(item for shard in shards for item in shard.quarantined)
        durable = sum(len(shard.rows) for shard in shards)
        return StoreStatus(
            rows=self.header.rows,
            durable_rows=durable,
            quarantined=quarantined,
            truncated=sum(shard.truncated for shard in shards),
            complete=durable + len(quarantined) == self.header.rows,
        )

    def rows(self) -> NDArray[np.int64]:
        return np.concatenate([np.zeros(0, np.int64), *(rows for rows, _ in self.shards())])

    def shards(self) -> Iterator[tuple[NDArray[np.int64], Embeddings]]:
        for index in sorted(self.committed):
            yield self.committed[index].rows, self.committed[index].embeddings

    def shard(self, index: int) -> StoredShard | None:
        found = self.committed.get(index)
        if found is None or index in self.damaged:
            return None
        start = index * self.header.shard_rows
        place = Shard(index, start, min(start + self.header.shard_rows, self.header.rows))
        return StoredShard(
            place, found.rows, found.embeddings, found.truncated, found.quarantined, found.notes
        )

    def load(self) -> Embeddings:
        shape = self.header.shape
        parts = [embeddings for _, embeddings in self.shards()]
        if shape.sparse:
            empty = csr_array(np.empty((0, shape.dim), np.float32))
            return csr_array(vstack([empty, *map(csr_array, parts)], format="csr"))
        return np.concatenate([np.empty((0, shape.layers, shape.dim), np.float32), *map(np.asarray, parts)])


@attrs.frozen(eq=False)
class MemoryWriter(EmbeddingWriter):
    """Writes to a set."""

    kept: MemorySet

    @property
    def header(self) -> Header:
        return self.kept.header

    def pending(self) -> Sequence[Shard]:
        done = self.kept.committed.keys() - self.kept.damaged
        starts = range(0, self.header.rows, self.header.shard_rows)
        return [self._shard(index) for index in range(len(starts)) if index not in done]

    def commit(
        self,
        shard: Shard,
        rows: NDArray[np.int64],
        embeddings: Embeddings,
        truncated: int,
        quarantined: Sequence[Quarantined] = (),
        notes: Sequence[str] = (),
    ) -> None:
        left_out = {item.row for item in quarantined}
        kept = [row for row in range(shard.start, shard.stop) if row not in left_out]
        shape = self.header.shape
        expected = (len(kept), shape.dim) if shape.sparse else (len(kept), shape.layers, shape.dim)
        values = embeddings.data if isinstance(embeddings, csr_array) else embeddings
        if shard != self._shard(shard.index) or list(rows) != kept or embeddings.shape != expected:
            raise ValueError(f"{shard} with rows {rows} and embeddings {embeddings.shape} does not fit")
        if embeddings.dtype != np.float32 or not np.isfinite(values).all():
            raise ValueError(f"{shard}: embeddings must be finite float32")
        self.kept.committed[shard.index] = MemoryShard(
            rows.copy(), embeddings.copy(), truncated, tuple(quarantined), tuple(notes)
        )
        self.kept.damaged.discard(shard.index)

    def fetch(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.bool_], Dense]:
        shape = self.header.shape
        if shape.sparse:
            raise ValueError("sparse")
        vectors = np.zeros((len(rows), shape.layers, shape.dim), np.float32)
        present = np.zeros(len(rows), np.bool_)
        for place, row in enumerate(rows.tolist()):
            shard = self.kept.committed.get(row // self.header.shard_rows)
            if shard is None:
                raise ValueError(f"row {row} is not durable")
            found = np.flatnonzero(shard.rows == row)
            if len(found):
                present[place] = True
                vectors[place] = np.asarray(shard.embeddings)[found[0]]
        return present, vectors

    def _shard(self, index: int) -> Shard:
        start = index * self.header.shard_rows
        return Shard(index, start, min(start + self.header.shard_rows, self.header.rows))


class MemoryEmbeddingStore(EmbeddingStore):
    """Sets by key; `damage` makes a shard fail verification."""

    def __init__(self) -> None:
        self.sets: dict[str, MemorySet] = {}

    def damage(self, key: str, index: int) -> None:
        self.sets[key].damaged.add(index)

    def locate(self, key: str) -> str:
        if not key or key.startswith(".") or "/" in key or "\\" in key:
            raise UsageError(f"key: {key!r} is no plain name")
        return f"memory:{key}"

    @contextmanager
    def write(self, key: str, header: Header) -> Iterator[MemoryWriter]:
        self.locate(key)
        kept = self.sets.setdefault(key, MemorySet(header))
        if kept.locked:
            raise LockedError(f"{self.locate(key)}: another writer is at work")
        if attrs.evolve(header, plan=kept.header.plan, shard_rows=kept.header.shard_rows) != kept.header:
            raise CorruptArtifactError(f"{self.locate(key)}: holds another set")
        kept.locked = True
        try:
            yield MemoryWriter(kept)
        finally:
            kept.locked = False

    def read(self, key: str) -> MemorySet | None:
        self.locate(key)
        return self.sets.get(key)

    def keys(self) -> Sequence[str]:
        return sorted(self.sets)

    def verify(self, key: str) -> Sequence[Problem]:
        if key not in self.sets:
            return [Problem(key, "is missing")]
        return [Problem(f"{key}/{index}", "damaged") for index in sorted(self.sets[key].damaged)]


@attrs.frozen(eq=False)
class MemorySplit(SpooledSplit):
    """One split as a list."""

    examples: list[Example]

    @property
    def rows(self) -> int:
        return len(self.examples)

    @property
    def texts_sha256(self) -> str:
        return fingerprint_texts(example.text for example in self.examples)

    def texts(self, start: int, stop: int) -> list[str]:
        return [example.text for example in self.examples[start:stop]]

    def labels(self, start: int = 0, stop: int | None = None) -> list[str | None]:
        return [example.label for example in self.examples[start:stop]]

    def ids(self, start: int = 0, stop: int | None = None) -> Sequence[Mapping[str, Json]]:
        return [dict(example.id) for example in self.examples[start:stop]]


class MemorySpool(Spool):
    """Splits by name."""

    def __init__(self) -> None:
        self.splits: dict[str, MemorySplit] = {}

    def write(self, split: str, examples: Iterable[Example]) -> MemorySplit:
        stored = MemorySplit(list(examples))
        for row, example in enumerate(stored.examples):
            try:
                f"{example.text}{example.label}".encode()
                json.dumps(dict(example.id), allow_nan=False)
            except (TypeError, ValueError) as error:
                raise DatasetError(f"{split}: row {row} cannot be stored: {error}") from error
        self.splits[split] = stored
        return stored

    def read(self, split: str) -> MemorySplit:
        if split not in self.splits:
            raise UsageError(f"there is no split {split!r}")
        return self.splits[split]

    def remove(self, split: str) -> None:
        self.splits.pop(split, None)

    def verify(self) -> Sequence[Problem]:
        return []


class MemoryRunStore(RunStore):
    """Documents, tables and texts in memory; what others write goes below a scratch directory."""

    def __init__(self, scratch: Path | None = None) -> None:
        self._scratch = scratch
        self._recorded: dict[str, str] = {}
        self._documents: dict[str, str] = {}
        self.tables: dict[str, dict[str, NDArray[Any]]] = {}
        self.texts: dict[str, str] = {}

    @property
    def directory(self) -> str:
        return str(self._scratch or "memory")

    @contextmanager
    def lock(self) -> Iterator[None]:
        yield

    def read_document(self, name: str) -> Json | None:
        text = self._documents.get(_checked(name))
        return None if text is None else json.loads(text)

    def write_document(self, name: str, value: Json) -> None:
        try:
            self._documents[_checked(name)] = json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise UsageError(f"{name}: JSON cannot hold the value: {error}") from error

    def documents(self, prefix: str = "") -> Sequence[str]:
        return sorted(name for name in self._documents if name.startswith(prefix))

    def read_table(self, name: str) -> Mapping[str, NDArray[Any]]:
        if _checked(name) not in self.tables:
            raise UsageError(f"{name}: there is no such table")
        return self.tables[name]

    def write_table(self, name: str, columns: Mapping[str, Column]) -> None:
        if len({len(column) for column in columns.values()}) > 1:
            raise ValueError(f"{name}: columns of different lengths")
        self.tables[_checked(name)] = {
            column: values.copy() if isinstance(values, np.ndarray) else _objects(values)
            for column, values in columns.items()
        }

    def write_text(self, name: str, text: str) -> None:
        self.texts[_checked(name)] = text

    def prune(self, name: str, kept: Collection[str]) -> None:
        _checked(name)
        for known in [*self._documents, *self.tables, *self.texts, *self._recorded]:
            if known.startswith(f"{name}/") and known not in kept:
                for written in (self._documents, self.tables, self.texts):
                    written.pop(known, None)
                if self._recorded.pop(known, None) is not None:
                    Path(self.path(known)).unlink()

    def path(self, name: str) -> str:
        assert self._scratch is not None, "give MemoryRunStore a scratch directory to write files in"
        path = self._scratch / _checked(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        return str(path)

    @contextmanager
    def writing(self, name: str) -> Iterator[str]:
        self._forget(name)
        yield self.path(name)
        self.record(name)

    def record(self, name: str) -> None:
        self._forget(name)
        path = Path(self.path(name))
        files = [found for found in path.rglob("*") if found.is_file()] if path.is_dir() else [path]
        for found in files:
            below = found.relative_to(self.directory).as_posix()
            self._recorded[below] = self.hash_file(below)

    def hash_file(self, name: str) -> str:
        if name in self._documents:
            return hashlib.sha256(self._documents[name].encode()).hexdigest()
        if name in self.tables:
            told = {column: values.tolist() for column, values in self.tables[name].items()}
            return hashlib.sha256(json.dumps(told).encode()).hexdigest()
        path = Path(self.path(name))
        if not path.is_file():
            raise CorruptArtifactError(f"{path}: is missing")
        return hashlib.sha256(path.read_bytes()).hexdigest()

    def verify(self, below: str = "") -> Sequence[Problem]:
        problems = []
        for name, recorded in self._recorded.items():
            if below and name != below and not name.startswith(f"{below}/"):
                continue
            path = Path(self.path(name))
            if not path.is_file():
                problems.append(Problem(name, "is missing"))
            elif self.hash_file(name) != recorded:
                problems.append(Problem(name, "was changed"))
        return problems

    def _forget(self, name: str) -> None:
        for known in list(self._recorded):
            if known == name or known.startswith(f"{name}/"):
                del self._recorded[known]


def _objects(values: Sequence[Any]) -> NDArray[Any]:
    if all(isinstance(value, str) or value is None for value in values):
        return np.array(values, dtype=object)
    return np.array(values)


def _checked(name: str) -> str:
    if any(not part or part.startswith(".") for part in name.split("/")) or "\\" in name:
        raise UsageError(f"{name!r} leaves the run")
    return name

"""Pairs that were read, loaded again as training takes them and as a search is judged by."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar, overload

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.encoder_tuner import PairSet
from fusionapp.application.ports.run_store import RunStore
from fusionapp.application.ports.spool import Spool, SpooledSplit
from fusionapp.application.services.read_pairs import PAIRS
from fusionapp.domain.embeddings import Json
from fusionapp.domain.errors import CorruptArtifactError

T = TypeVar("T")

_STEP = 256
"""Rows at a time: enough to be quick, and few enough to hold whole books."""


class SpooledColumn(Sequence[T]):
    """A column of a spooled split, row by row or streamed; none of it stays in memory."""

    def __init__(self, rows: int, read: Callable[[int, int], Sequence[T]]) -> None:
        """`read`: rows [start, stop)."""
        self._rows = rows
        self._read = read

    def __len__(self) -> int:
        return self._rows

    @overload
    def __getitem__(self, row: int) -> T: ...
    @overload
    def __getitem__(self, row: slice) -> Sequence[T]: ...
    def __getitem__(self, row: int | slice) -> T | Sequence[T]:
        if isinstance(row, slice):
            start, stop, step = row.indices(self._rows)
            if step == 1:
                return list(self._read(start, max(start, stop)))
            return [self[place] for place in range(start, stop, step)]
        place = range(self._rows)[row]
        return self._read(place, place + 1)[0]

    def __iter__(self) -> Iterator[T]:
        for start in range(0, self._rows, _STEP):
            yield from self._read(start, min(start + _STEP, self._rows))


@attrs.frozen(eq=False)
class SearchProblem:
    """Queries, the documents that they are searched in, and which of them are relevant.

    Attributes:
        queries: texts and ids.
        documents: texts, topics as labels, and ids.
        relevant: of each query, the rows of its relevant documents and their grades.
    """

    queries: SpooledSplit
    documents: SpooledSplit
    relevant: Sequence[Mapping[int, int]]


@attrs.frozen
class LoadPairs:
    """Loads what `ReadPairs` kept.

    Attributes:
        spool: of the run.
        runs: of the run.
    """

    spool: Spool
    runs: RunStore

    def __call__(self, split: str) -> PairSet:
        """A split for training. Texts, ids, topics and labels are read from the spool as they are asked for.

        Raises:
            UsageError: the split was not read.
            CorruptArtifactError: texts and rows do not fit together.
        """
        table = self._table(split)
        queries, documents = self._texts(split)
        pairs = np.stack([table["query"], table["document"]], axis=1)
        return PairSet(
            queries=SpooledColumn(queries.rows, queries.texts),
            documents=SpooledColumn(documents.rows, documents.texts),
            query_ids=_names(queries),
            document_ids=_names(documents),
            pairs=pairs,
            grades=table["grade"],
            negatives=table.get("negatives", np.empty((len(pairs), 0), dtype=np.int64)),
            topics=SpooledColumn(documents.rows, documents.labels),
            labels=_ids(documents, lambda id: None if id.get("label") is None else str(id["label"])),
        )

    def search_problem(self, split: str) -> SearchProblem:
        """A split for searching.

        Raises:
            UsageError: the split was not read.
            CorruptArtifactError: texts and rows do not fit together.
        """
        table = self._table(split)
        queries, documents = self._texts(split)
        relevant: list[dict[int, int]] = [{} for _ in range(queries.rows)]
        for query, document, grade in zip(
            *(table[name].tolist() for name in ("query", "document", "grade")), strict=True
        ):
            relevant[query][document] = grade
        return SearchProblem(queries, documents, relevant)

    def _texts(self, split: str) -> tuple[SpooledSplit, SpooledSplit]:
        return self.spool.read(f"{split}.queries"), self.spool.read(f"{split}.documents")

    def _table(self, split: str) -> Mapping[str, NDArray[np.int64]]:
        queries, documents = self._texts(split)  # first: the spool says what a split that was not read is
        name = f"{PAIRS}/{split}.parquet"
        table = self.runs.read_table(name)
        limits = {"query": queries.rows, "document": documents.rows, "negatives": documents.rows}
        missing = [column for column in ("query", "document", "grade") if column not in table]
        wrong = [
            column
            for column, rows in limits.items()
            if column in table and table[column].max(initial=-1) >= rows
        ]
        if missing or wrong:
            raise CorruptArtifactError(
                f"{name}: column {(missing or wrong)[0]!r} does not fit the texts beside it; read the pairs again"
            )
        return table


def _ids(split: SpooledSplit, pick: Callable[[Mapping[str, Json]], T]) -> SpooledColumn[T]:
    return SpooledColumn(split.rows, lambda start, stop: [pick(id) for id in split.ids(start, stop)])


def _names(split: SpooledSplit) -> SpooledColumn[str]:
    return _ids(split, lambda id: str(id["id"]))

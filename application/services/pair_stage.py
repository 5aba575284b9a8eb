"""The pairs of a split on their way: texts in the spool, digests in memory."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from hashlib import blake2b
from itertools import islice

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.pair_source import PairSource
from fusionapp.application.ports.spool import Spool, SpooledSplit
from fusionapp.domain.columns import Place
from fusionapp.domain.embeddings import Json
from fusionapp.domain.errors import DatasetError
from fusionapp.domain.examples import Example
from fusionapp.domain.retrieval.joined_rows import NamedPairs
from fusionapp.domain.retrieval.pair_columns import name_by_text
from fusionapp.domain.retrieval.pairs import Pair

_STEP = 256
"""Rows at a time: enough to be quick, and few enough to hold whole books."""


class PackedDigests:
    """128 bits of BLAKE2b for each text, as `digest_texts` gives them, added one by one."""

    def __init__(self) -> None:
        self._packed = bytearray()

    def add(self, text: str) -> None:
        """Digest one more text."""
        self._packed += blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()

    def taken(self) -> NDArray[np.uint64]:
        """(texts, 2) uint64; nothing can be added afterwards."""
        return np.frombuffer(self._packed, dtype=np.uint64).reshape(-1, 2)


@attrs.define
class _Notes:
    """What is kept of each pair but its texts."""

    where: str
    query_ids: PackedDigests = attrs.field(factory=PackedDigests)
    query_texts: PackedDigests = attrs.field(factory=PackedDigests)
    document_ids: PackedDigests = attrs.field(factory=PackedDigests)
    document_texts: PackedDigests = attrs.field(factory=PackedDigests)
    negative_texts: PackedDigests = attrs.field(factory=PackedDigests)
    grades: array[int] = attrs.field(factory=lambda: array("q"))
    owners: array[int] = attrs.field(factory=lambda: array("q"))
    starts: array[int] = attrs.field(factory=lambda: array("q"))
    rows: int = 0

    def take(self, pair: Pair) -> Iterator[Example]:
        """The pair's texts as examples: query, document, negatives."""
        self._check(pair)
        self.query_ids.add(pair.query_id)
        self.query_texts.add(pair.query)
        self.document_ids.add(pair.document_id)
        self.document_texts.add(pair.document)
        self.grades.append(pair.grade)
        self.starts.append(self.rows)
        self.rows += 2 + len(pair.negatives)
        yield Example(pair.query, None, {"id": pair.query_id})
        named: dict[str, Json] = {"id": pair.document_id, "label": pair.label, "date": pair.date}
        yield Example(
            pair.document, pair.topic, {key: value for key, value in named.items() if value is not None}
        )
        for text in pair.negatives:
            self.negative_texts.add(text)
            self.owners.append(len(self.grades) - 1)
            yield Example(text, None, {"id": name_by_text(text)})

    def _check(self, pair: Pair) -> None:
        for what, text in (("query", pair.query), ("document", pair.document), *_negatives(pair)):
            if not text.strip():
                raise Place(self.where, len(self.grades)).error(
                    f"the {what} is blank; fill it in or remove the row"
                )

    def named(self) -> NamedPairs:
        return NamedPairs(
            self.query_ids.taken(),
            self.query_texts.taken(),
            self.document_ids.taken(),
            self.document_texts.taken(),
            np.array(self.grades, dtype=np.int64),
            self.negative_texts.taken(),
            np.array(self.owners, dtype=np.int64),
        )


@attrs.frozen(eq=False)
class Stage:
    """A split's pairs, read once: rows of query, document and negatives in the spool, pair by pair.

    Attributes:
        name: of the spooled split; whoever wrote the stage removes it.
        named: the pairs without their texts.
        starts: (pairs,) the row of each pair's query; its document stands behind it.
        texts: the rows.
    """

    name: str
    named: NamedPairs
    starts: NDArray[np.int64]
    texts: SpooledSplit

    @classmethod
    def write(cls, spool: Spool, source: PairSource, split: str, limit: int | None) -> Stage:
        """Read a split.

        Raises:
            DatasetError: a blank text, one id with two texts, a split without pairs, or as the source says.
        """
        where = source.describe(split)
        notes = _Notes(where)
        pairs = islice(source.read(split), limit)
        name = f"{split}.pairs"
        texts = spool.write(name, (example for pair in pairs for example in notes.take(pair)))
        stage = cls(name, notes.named(), np.array(notes.starts, dtype=np.int64), texts)
        try:
            stage._check(where, split)
        except DatasetError:
            spool.remove(name)
            raise
        return stage

    @property
    def negative_rows(self) -> NDArray[np.int64]:
        """(negatives,) the row of each."""
        owners = self.named.owners
        first = np.searchsorted(owners, owners)  # of the same pair
        return self.starts[owners] + 2 + np.arange(len(owners)) - first

    def examples(self, rows: NDArray[np.int64]) -> Iterator[Example]:
        """What stands in some rows, ascending."""
        return examples_of(self.texts, rows)

    def _check(self, where: str, split: str) -> None:
        if not len(self.starts):
            raise DatasetError(f"{where}: split {split!r} has no pairs")
        second = self.named.second_text()
        if second is None:
            return
        row, what = second
        place = int(self.starts[row]) + (what == "document")
        (id,) = self.texts.ids(place, place + 1)
        raise Place(where, row).error(
            f"{what} {id['id']!r} has another text than before; an id names one text, so mend one of them"
        )


def examples_of(spooled: SpooledSplit, rows: NDArray[np.int64]) -> Iterator[Example]:
    """What stands in some rows, ascending; few are in memory at a time."""
    for start in range(0, spooled.rows, _STEP):
        stop = min(start + _STEP, spooled.rows)
        here = rows[np.searchsorted(rows, start) : np.searchsorted(rows, stop)] - start
        if len(here):
            texts, labels, ids = (
                spooled.texts(start, stop),
                spooled.labels(start, stop),
                spooled.ids(start, stop),
            )
            for row in here.tolist():
                yield Example(texts[row], labels[row], ids[row])


def _negatives(pair: Pair) -> Iterator[tuple[str, str]]:
    return (("negative", text) for text in pair.negatives)

"""A pair source in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from fusionapp.application.ports.pair_source import PairSource
from fusionapp.domain.retrieval.pairs import Document, Pair
from fusionapp.domain.splits import order_splits, unknown_split


class MemoryPairSource(PairSource):
    """Splits given as lists; remembers how often each was read."""

    def __init__(
        self, splits: Mapping[str, Sequence[Pair]], corpora: Mapping[str, Sequence[Document]] | None = None
    ) -> None:
        self._splits = splits
        self._corpora = corpora or {}
        self.readings: list[str] = []

    def splits(self) -> Sequence[str]:
        return order_splits(self._splits)

    def describe(self, split: str) -> str:
        if split not in self._splits:
            raise unknown_split(split, self.splits(), "memory")
        return f"memory ({split})"

    def read(self, split: str) -> Iterator[Pair]:
        self.describe(split)
        self.readings.append(split)
        return iter(self._splits[split])

    def corpus(self, split: str) -> Iterator[Document]:
        self.describe(split)
        return iter(self._corpora.get(split, ()))

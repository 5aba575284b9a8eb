"""A source of models' answers in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from fusionapp.application.ports.answer_source import AnswerSource
from fusionapp.domain.routing.rows import AnswerRow
from fusionapp.domain.splits import order_splits, unknown_split


class MemoryAnswerSource(AnswerSource):
    """Splits given as lists; remembers how often each was read."""

    def __init__(self, splits: Mapping[str, Sequence[AnswerRow]]) -> None:
        self._splits = splits
        self.readings: list[str] = []

    def splits(self) -> Sequence[str]:
        return order_splits(self._splits)

    def describe(self, split: str) -> str:
        if split not in self._splits:
            raise unknown_split(split, self.splits(), "memory")
        return f"memory ({split})"

    def read(self, split: str) -> Iterator[AnswerRow]:
        self.describe(split)
        self.readings.append(split)
        return iter(self._splits[split])

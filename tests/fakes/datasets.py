"""A dataset source in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from fusionapp.application.ports.dataset_source import DatasetSource
from fusionapp.domain.examples import Example
from fusionapp.domain.splits import order_splits, unknown_split


class MemorySource(DatasetSource):
    """Splits given as lists of examples, or of (text, label) pairs whose id is the row number."""

    def __init__(self, splits: Mapping[str, Sequence[Example | tuple[str, str | None]]]) -> None:
        self._splits = {
            name: [
                item if isinstance(item, Example) else Example(item[0], item[1], {"row": row})
                for row, item in enumerate(items)
            ]
            for name, items in splits.items()
        }

    def splits(self) -> Sequence[str]:
        return order_splits(self._splits)

    def describe(self, split: str) -> str:
        self._known(split)
        return f"memory ({split})"

    def read(self, split: str) -> Iterator[Example]:
        self._known(split)
        return iter(self._splits[split])

    def _known(self, split: str) -> None:
        if split not in self._splits:
            raise unknown_split(split, self.splits(), "memory")

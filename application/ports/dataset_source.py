"""Where labelled texts come from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from fusionapp.domain.examples import Example


class DatasetSource(Protocol):
    """Named splits of examples, each read as a stream."""

    def splits(self) -> Sequence[str]:
        """The splits there are, in the order train, validation, test, others."""

    def describe(self, split: str) -> str:
        """Where a split is read from, for messages: a file, a hub name."""

    def read(self, split: str) -> Iterator[Example]:
        """Examples in input order.

        Raises:
            DatasetError: a missing file, column or label, or text that is not UTF-8; names file, row and column.
        """

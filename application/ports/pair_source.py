"""Where queries and their documents come from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from fusionapp.domain.retrieval.pairs import Document, Pair


class PairSource(Protocol):
    """Named splits of pairs, each read as a stream."""

    def splits(self) -> Sequence[str]:
        """The splits there are, in the order train, validation, test, others."""

    def describe(self, split: str) -> str:
        """Where a split is read from, for messages: a file, a hub name."""

    def read(self, split: str) -> Iterator[Pair]:
        """Pairs in input order.

        Raises:
            DatasetError: a missing file or column, or a blank text; names file, row and column. That an id names
                one text is for the reader to see, who keeps track of ids anyway.
        """

    def corpus(self, split: str) -> Iterator[Document]:
        """Documents that the split's queries are searched in, beside those of its pairs; often none.

        Raises:
            DatasetError: as `read`.
        """

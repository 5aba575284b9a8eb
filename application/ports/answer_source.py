"""Where prompts come from, with what is known of models' answers to them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from fusionapp.domain.routing.rows import AnswerRow


class AnswerSource(Protocol):
    """Named splits of scores and battles, each read as a stream."""

    def splits(self) -> Sequence[str]:
        """The splits there are, in the order train, validation, test, others."""

    def describe(self, split: str) -> str:
        """Where a split is read from, for messages: a file, a hub name."""

    def read(self, split: str) -> Iterator[AnswerRow]:
        """Rows in input order; a prompt may stand in several.

        Raises:
            DatasetError: a missing file or column, a blank prompt, a score outside [0, 1] or an unknown winner;
                names file, row and column.
        """

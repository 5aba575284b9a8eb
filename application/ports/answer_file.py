"""Writing scores of models out, for a router to be trained on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from fusionapp.domain.routing.rows import ScoreRow


class AnswerFile(Protocol):
    """One file that an `AnswerSource` reads back."""

    def write(self, path: str, rows: Iterable[ScoreRow]) -> None:
        """Write rows in order, whole or not at all.

        Raises:
            UsageError: the place cannot be written to.
            ResourceError: the disk is full.
        """

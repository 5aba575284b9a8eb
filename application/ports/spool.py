"""The input, read once and kept beside the run, so that every encoder reads the same rows in flat memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

from fusionapp.application.ports.embedding_store import Problem
from fusionapp.domain.embeddings import Json
from fusionapp.domain.examples import Example

T = TypeVar("T")


def in_steps(read: Callable[[int, int], Iterable[T]], rows: int, step: int = 4096) -> Iterator[T]:
    """What `read(start, stop)` gives of all rows in order, so many in memory at a time."""
    for start in range(0, rows, step):
        yield from read(start, min(start + step, rows))


class SpooledSplit(Protocol):
    """One split of the input on disk."""

    @property
    def rows(self) -> int:
        """How many examples there are."""

    @property
    def texts_sha256(self) -> str:
        """`fingerprint_texts` of all texts in order."""

    def texts(self, start: int, stop: int) -> list[str]:
        """Texts of rows [start, stop)."""

    def stream(self, step: int = 4096) -> Iterator[str]:
        """Every text in order, so many in memory at a time."""
        return in_steps(self.texts, self.rows, step)

    def labels(self, start: int = 0, stop: int | None = None) -> list[str | None]:
        """Labels of rows [start, stop); of every row where no range is given."""

    def ids(self, start: int = 0, stop: int | None = None) -> Sequence[Mapping[str, Json]]:
        """Id columns of rows [start, stop); of every row where no range is given."""


class Spool(Protocol):
    """Keeps splits by name."""

    def write(self, split: str, examples: Iterable[Example]) -> SpooledSplit:
        """Store a split whole, replacing what stood there, and return it."""

    def read(self, split: str) -> SpooledSplit:
        """A split written before.

        Raises:
            UsageError: there is none.
            CorruptArtifactError: it was changed since.
        """

    def remove(self, split: str) -> None:
        """Forget a split; nothing happens where there is none."""

    def verify(self) -> Sequence[Problem]:
        """Every split against its hash; files are named relative to the spool."""

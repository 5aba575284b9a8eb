"""What one run leaves behind: documents, tables, reports and models in one verifiable directory."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeAlias

from numpy.typing import NDArray

from fusionapp.application.ports.embedding_store import Problem
from fusionapp.domain.embeddings import Json

Column: TypeAlias = "NDArray[Any] | Sequence[Any]"
"""(rows, ...) numbers or booleans, or rows of strings and None."""


class RunStore(Protocol):
    """One run's directory. Names are relative, with "/" between their parts, and never leave it.

    Everything written through the store, and every file that `record` is told of, is known by its SHA-256.
    """

    @property
    def directory(self) -> str:
        """Where the run stands, for people and for other processes."""

    def lock(self) -> AbstractContextManager[None]:
        """Be the run's only writer. A write outside takes the lock for itself.

        Raises:
            LockedError: another process writes the run.
        """

    def read_document(self, name: str) -> Json | None:
        """A JSON document ("models/seed-0/model.json"), or None where there is none.

        Raises:
            CorruptArtifactError: it is not JSON.
        """

    def write_document(self, name: str, value: Json) -> None:
        """Write a JSON document, whole or not at all.

        Raises:
            UsageError: JSON cannot hold the value: NaN, an infinity, an array.
            ResourceError: the disk is full.
        """

    def documents(self, prefix: str = "") -> Sequence[str]:
        """Names of the JSON documents that start with a prefix ("models/"), sorted."""

    def read_table(self, name: str) -> Mapping[str, NDArray[Any]]:
        """The columns of a table; strings come as an object array.

        Raises:
            UsageError: there is none.
            CorruptArtifactError: it is not what was written.
        """

    def write_table(self, name: str, columns: Mapping[str, Column]) -> None:
        """Write columns of equal length, such as per-example scores, as Parquet.

        Raises:
            ResourceError: the disk is full.
        """

    def write_text(self, name: str, text: str) -> None:
        """Write a text file (Markdown, CSV)."""

    def prune(self, name: str, kept: Collection[str]) -> None:
        """Remove the files below a directory that were recorded and are none of `kept`, names in the run.

        What was never recorded, such as somebody's notes, stays.
        """

    def path(self, name: str) -> str:
        """Where `name` stands, for those who read or write there; its parent exists afterwards."""

    def writing(self, name: str) -> AbstractContextManager[str]:
        """Let others write below `name` for a while; yields its path.

        What is recorded there counts as in flux until the block ends, which records every file below. Where
        the block ends by an error or a crash, it stays in flux until written again, and is no corruption.
        """

    def record(self, name: str) -> None:
        """Remember the SHA-256 of a file, or of every file below a directory, that others wrote.

        Raises:
            CorruptArtifactError: there is nothing.
        """

    def hash_file(self, name: str) -> str:
        """SHA-256 of a file as it stands now (64 hex digits).

        Raises:
            CorruptArtifactError: it is missing.
        """

    def verify(self, below: str = "") -> Sequence[Problem]:
        """Everything recorded against what stands there; what a crash cut short is no problem.

        Args:
            below: a file, or a directory, that alone is looked at; "" for the whole run and its records.
        """

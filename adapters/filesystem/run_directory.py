"""One run's directory."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from os.path import lexists
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from fusionapp.adapters.filesystem import disk
from fusionapp.adapters.filesystem.atomic import LOCK, disk_errors, make_directory, replace_file
from fusionapp.adapters.filesystem.checksums import Checksum, disk_reads, hash_file, open_regular
from fusionapp.adapters.filesystem.journal import (
    JOURNAL,
    announced,
    check,
    open_journal,
    opened,
    read_journal,
    recorded,
)
from fusionapp.adapters.filesystem.lock import exclusive
from fusionapp.adapters.filesystem.names import descendant
from fusionapp.adapters.filesystem.sealed import Log
from fusionapp.application.ports.embedding_store import Problem
from fusionapp.application.ports.run_store import Column, RunStore
from fusionapp.domain.embeddings import Json
from fusionapp.domain.errors import CorruptArtifactError, UsageError


class RunDirectory(RunStore):
    """Files in a directory, and ``checksums.jsonl`` with what they should hash to (`journal.py`)."""

    def __init__(self, directory: Path | str) -> None:
        """Nothing is created until something is written."""
        self._directory = Path(directory)
        self._log: Log | None = None

    @property
    def directory(self) -> str:
        """The run's directory."""
        return str(self._directory)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only writer; blocks of the same store nest."""
        if self._log is not None:
            yield
            return
        with exclusive(self._directory):
            self._log = open_journal(self._directory)
            try:
                yield
            finally:
                self._log = None

    def read_document(self, name: str) -> Json | None:
        """A JSON document, or None."""
        path = self._path(name)
        if not lexists(path):
            return None
        with disk_reads(path), open_regular(path) as file:
            try:
                return json.load(file)
            except (ValueError, RecursionError) as error:
                raise CorruptArtifactError(
                    f"{path}: is not JSON ({error}); restore it, or remove it and run what writes it again"
                ) from error

    def write_document(self, name: str, value: Json) -> None:
        """Write indented JSON in UTF-8."""
        try:
            text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise UsageError(f"{self._path(name)}: JSON cannot hold the value: {error}") from error
        self.write_text(name, text + "\n")

    def documents(self, prefix: str = "") -> Sequence[str]:
        """Names of the ``.json`` files, hidden ones aside."""
        found = (path.relative_to(self._directory).as_posix() for path in self._directory.rglob("*.json"))
        return sorted(name for name in found if name.startswith(prefix) and "/." not in f"/{name}")

    def read_table(self, name: str) -> Mapping[str, NDArray[Any]]:
        """The columns of a Parquet file."""
        from fusionapp.adapters.filesystem.tables import read_columns

        path = self._path(name)
        if not lexists(path):
            raise UsageError(f"{path}: there is no such table; run the step that writes it")
        return read_columns(path)

    def write_table(self, name: str, columns: Mapping[str, Column]) -> None:
        """Write columns as a Parquet file."""
        from fusionapp.adapters.filesystem.tables import columns_bytes

        self._write(name, bytes(columns_bytes(columns)))

    def write_text(self, name: str, text: str) -> None:
        """Write UTF-8; a lone surrogate becomes its escape, as a report is no place to fail."""
        self._write(name, text.encode("utf-8", "backslashreplace"))

    def prune(self, name: str, kept: Collection[str]) -> None:
        """Remove recorded files; the journal says so first, so that a crash in between makes none missed."""
        self._path(name)
        with self.lock():
            expected = read_journal(self._directory).expected
            gone = [one for one in expected if one.startswith(f"{name}/") and expected[one].checksums]
            for one in sorted(set(gone).difference(kept)):
                path = self._path(one)
                self._journal().append(opened(one))
                with disk_errors(path):
                    disk.DISK.unlink(path)
                    disk.DISK.sync_directory(path.parent)

    def path(self, name: str) -> str:
        """Where `name` stands; its parent is created."""
        path = self._path(name)
        make_directory(path.parent)
        return str(path)

    @contextmanager
    def writing(self, name: str) -> Iterator[str]:
        """Open a place to other writers, then record what they left."""
        with self.lock():
            self._journal().append(opened(name))
            yield self.path(name)
            self.record(name)

    def record(self, name: str) -> None:
        """Remember what a file, or every file below a directory, hashes to."""
        with self.lock():
            files = self._files(name)
            records = [recorded(found, self._hash(found)) for found in files]
            self._sync(files)  # whoever wrote them may not have
            # "opened" first: what was recorded there and is gone now is not missed.
            self._journal().append(opened(name), *records)

    def hash_file(self, name: str) -> str:
        """SHA-256 of a file."""
        return self._hash(name).sha256

    def verify(self, below: str = "") -> Sequence[Problem]:
        """The journal's problems, and every file that is not as the journal says; of a part, its files alone."""
        if not self._directory.is_dir():
            return [Problem(self.directory, "is missing")]
        if not lexists(self._directory / JOURNAL):
            begun = any(path.name != LOCK for path in self._directory.iterdir())
            return [Problem(JOURNAL, "is missing")] if begun else []
        try:
            journal = read_journal(self._directory)
        except CorruptArtifactError as error:
            return [Problem(JOURNAL, str(error).removeprefix(f"{self._directory / JOURNAL}: "))]
        problems = [] if below else [Problem(JOURNAL, problem) for problem in journal.problems]
        for name, expected in sorted(journal.expected.items()):
            if below and name != below and not name.startswith(f"{below}/"):
                continue
            try:
                problem = check(self._path(name), expected)
            except UsageError as error:
                problem = str(error)
            if problem is not None:
                problems.append(Problem(name, problem))
        return problems

    def _path(self, name: str) -> Path:
        return descendant(self._directory, name, "name in a run")

    def _journal(self) -> Log:
        assert self._log is not None, "only called under the lock"
        return self._log

    def _hash(self, name: str) -> Checksum:
        return hash_file(self._path(name))

    def _sync(self, names: Sequence[str]) -> None:
        """Make files and the directories that lead to them durable."""
        directories: set[Path] = set()
        for path in map(self._path, names):
            with disk_errors(path), disk.DISK.reopen(path) as file:
                disk.DISK.sync(file)
            directories.update(place for place in path.parents if place.is_relative_to(self._directory))
        for place in sorted(directories):
            disk.DISK.sync_directory(place)

    def _files(self, name: str) -> list[str]:
        """A file, or every plain file below a directory, hidden ones aside, as names in the run."""
        path = self._path(name)
        if not path.is_dir():
            return [name]
        below = sorted(found.relative_to(path) for found in path.rglob("*") if found.is_file())
        shown = [found for found in below if not any(part.startswith(".") for part in found.parts)]
        return [f"{name}/{found.as_posix()}" for found in shown]

    def _write(self, name: str, content: bytes) -> None:
        path = Path(self.path(name))
        checksum = Checksum(sha256(content).hexdigest(), len(content))
        with self.lock():
            self._journal().append(announced(name, checksum))
            replace_file(path, content)
            self._journal().append(recorded(name, checksum))

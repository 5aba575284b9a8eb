"""The spooled input: an Arrow file for each split, and a small sealed JSON beside it that is written last.

The Arrow file carries its SHA-256 in its name and ``SPLIT.json`` says which one counts, so that a crash
leaves the old split or the new one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs

from fusionapp.adapters.filesystem import disk
from fusionapp.adapters.filesystem.atomic import Replacement, disk_errors, replace_file
from fusionapp.adapters.filesystem.checksums import Checksum, difference, disk_reads, open_regular
from fusionapp.adapters.filesystem.lock import exclusive
from fusionapp.adapters.filesystem.names import child
from fusionapp.adapters.filesystem.records import MALFORMED
from fusionapp.adapters.filesystem.sealed import seal, unseal
from fusionapp.adapters.filesystem.spooled_split import ArrowSplit, open_split, write_split
from fusionapp.application.ports.embedding_store import Problem
from fusionapp.application.ports.spool import Spool
from fusionapp.domain.embeddings import Json
from fusionapp.domain.errors import CorruptArtifactError, UsageError
from fusionapp.domain.examples import Example


@attrs.frozen
class ArrowSpool(Spool):
    """Splits in a directory of their own.

    Attributes:
        directory: created when the first split is written.
    """

    directory: Path = attrs.field(converter=Path)

    def write(self, split: str, examples: Iterable[Example]) -> ArrowSplit:
        """Stream a split to disk; where the same content stands already, its file is kept."""
        card = self._card(split)
        with exclusive(self.directory):
            with Replacement(self.directory) as file:
                rows, texts_sha256 = write_split(file, split, examples)
                checksum = file.finish()
                path = self._file(split, checksum)
                if difference(path, checksum) is not None:
                    file.put(path)
                    with disk_errors(self.directory):
                        disk.DISK.sync_directory(self.directory)
            replace_file(card, seal(_describe(rows, texts_sha256, checksum)))
            self._remove_all_but(path, split)
        return open_split(path, rows, texts_sha256, checksum)

    def read(self, split: str) -> ArrowSplit:
        """A split written before; all of it is hashed."""
        card = self._card(split)
        if not card.exists():
            raise UsageError(f"{self.directory}: holds no split {split!r}; run `fusionapp extract` first")
        rows, texts_sha256, checksum = _read_card(card)
        path = self._file(split, checksum)
        problem = difference(path, checksum)
        if problem is not None:
            raise CorruptArtifactError(f"{path}: {problem}; run `fusionapp extract` to read the input again")
        return open_split(path, rows, texts_sha256, checksum)

    def remove(self, split: str) -> None:
        """Forget a split: its card first, so that a crash leaves no card without its file."""
        card = self._card(split)
        if not self.directory.is_dir():
            return
        with exclusive(self.directory), disk_errors(self.directory):
            if card.exists():
                disk.DISK.unlink(card)
                disk.DISK.sync_directory(self.directory)
            self._remove_all_but(None, split)

    def verify(self) -> Sequence[Problem]:
        """Every split against its hash; files are named relative to the spool."""
        problems = []
        for card in sorted(self.directory.glob("*.json")):
            try:
                rows, texts_sha256, checksum = _read_card(card)
                path = self._file(card.stem, checksum)
                problem = difference(path, checksum)
                if problem is None:
                    open_split(path, rows, texts_sha256, checksum)
                else:
                    problems.append(Problem(path.name, problem))
            except (CorruptArtifactError, UsageError) as error:
                problems.append(Problem(card.name, str(error).removeprefix(f"{card}: ")))
        return problems

    def _card(self, split: str) -> Path:
        return child(self.directory, f"{child(self.directory, split, 'split').name}.json", "split")

    def _file(self, split: str, checksum: Checksum) -> Path:
        return self.directory / f"{split}-{checksum.sha256[:16]}.arrow"

    def _remove_all_but(self, kept: Path | None, split: str) -> None:
        earlier = re.compile(re.escape(split) + r"-[0-9a-f]{16}\.arrow")
        for path in self.directory.iterdir():
            if path != kept and earlier.fullmatch(path.name):
                disk.DISK.unlink(path)


def _describe(rows: int, texts_sha256: str, checksum: Checksum) -> Json:
    return {
        "kind": "spool",
        "version": 1,
        "rows": rows,
        "texts_sha256": texts_sha256,
        "content": attrs.asdict(checksum),
    }


def _read_card(card: Path) -> tuple[int, str, Checksum]:
    with disk_reads(card), open_regular(card) as file:
        line = file.read()
    try:
        record = unseal(line.removesuffix(b"\n"))
        rows, texts_sha256 = int(record["rows"]), str(record["texts_sha256"])
        checksum = Checksum(**record["content"])
        if line != seal(_describe(rows, texts_sha256, checksum)):
            raise ValueError("is not as it was written")
    except MALFORMED as error:
        raise CorruptArtifactError(
            f"{card}: {error}; run `fusionapp extract` to read the input again"
        ) from error
    return rows, texts_sha256, checksum

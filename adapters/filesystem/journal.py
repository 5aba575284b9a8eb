"""What a run directory's files should hash to: ``checksums.jsonl``, an append-only log of sealed lines.

A file is announced before it is replaced and recorded after. A crash in between leaves the announcement: the
file may then be the new one, the one recorded before, or missing, and none of these is corruption; one with
a flipped bit is none of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from os.path import lexists
from pathlib import Path

import attrs

from fusionapp.adapters.filesystem.atomic import replace_file
from fusionapp.adapters.filesystem.checksums import Checksum, difference
from fusionapp.adapters.filesystem.records import MALFORMED
from fusionapp.adapters.filesystem.sealed import Log, scan, seal
from fusionapp.domain.embeddings import Json
from fusionapp.domain.errors import CorruptArtifactError

JOURNAL = "checksums.jsonl"
_HEADER: Json = {"kind": "checksums", "version": 1}


@attrs.frozen
class Expected:
    """What may stand under a name.

    Attributes:
        checksums: any of these; empty where anything may, because somebody else is writing there.
        settled: it was written to the end, so that it has to be there.
    """

    checksums: tuple[Checksum, ...]
    settled: bool


@attrs.frozen
class Journal:
    """A journal as it stands on disk.

    Attributes:
        expected: by name.
        problems: what is wrong with the journal itself.
        end: where its last whole line ends, in bytes.
    """

    expected: Mapping[str, Expected]
    problems: tuple[str, ...]
    end: int


def read_journal(directory: Path) -> Journal:
    """A run's journal, bad lines told but not fatal.

    Raises:
        CorruptArtifactError: it is missing, or its first line cannot be read.
    """
    lines = scan(directory / JOURNAL)
    if lines.records.get(1) != _HEADER:
        raise CorruptArtifactError(f"{directory / JOURNAL}: line 1 {lines.bad.get(1, 'is no header')}")
    problems = dict(lines.bad)
    expected: dict[str, Expected] = {}
    for number, line in lines.records.items():
        if number == 1:
            continue
        try:
            _take(expected, line)
        except MALFORMED as error:
            problems[number] = f"is no record: {error!r}"
    described = [f"line {number} {problems[number]}" for number in sorted(problems)]
    if lines.torn:
        described.append("has an unterminated last line (a torn tail); running again repairs it")
    return Journal(expected, tuple(described), lines.end)


def open_journal(directory: Path) -> Log:
    """The writing end of a run's journal, begun where there is none.

    Raises:
        CorruptArtifactError: it was changed.
    """
    path = directory / JOURNAL
    if not lexists(path):
        replace_file(path, seal(_HEADER))
    lines = scan(path)
    if lines.bad or lines.records.get(1) != _HEADER:
        raise CorruptArtifactError(
            f"{path}: is not as it was written; remove it and run again: what is written is recorded"
        )
    return Log(path, lines.end)


def announced(name: str, checksum: Checksum) -> Json:
    """The line before a file is replaced."""
    return {"kind": "announced", "name": name, **attrs.asdict(checksum)}


def opened(name: str) -> Json:
    """The line before somebody else writes a file, or any file below a directory."""
    return {"kind": "opened", "name": name}


def recorded(name: str, checksum: Checksum) -> Json:
    """The line after a file was written."""
    return {"kind": "recorded", "name": name, **attrs.asdict(checksum)}


def check(path: Path, expected: Expected) -> str | None:
    """What is wrong with a file, or None."""
    if not expected.checksums or (not expected.settled and not lexists(path)):
        return None
    found = [difference(path, checksum) for checksum in expected.checksums]
    return None if None in found else found[-1]


def _take(expected: dict[str, Expected], line: Json) -> None:
    """Add one line's news to what is known.

    Raises:
        ValueError: (or another of `MALFORMED`) it is none of the three kinds.
    """
    kind, name = line["kind"], str(line["name"])
    if kind == "opened":
        for known in list(expected):
            if known == name or known.startswith(f"{name}/"):
                expected[known] = Expected((), settled=False)
        return
    checksum = Checksum(line["sha256"], line["bytes"])
    if kind == "recorded":
        expected[name] = Expected((checksum,), settled=True)
    elif kind == "announced":
        earlier = expected.get(name)
        # A name that is open takes anything until it is recorded.
        if earlier is None or earlier.checksums:
            known_before = earlier.checksums if earlier is not None else ()
            expected[name] = Expected((*known_before, checksum), settled=False)
    else:
        raise ValueError(f"kind {kind!r}")

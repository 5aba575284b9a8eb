"""The manifest of a set of embeddings.

``manifest.jsonl`` is an append-only log of sealed lines: a header, then a record for each durable shard. It
holds no time, host or path, so that two runs that make the same vectors write the same manifest. A shard that
had to be written again is recorded again, and its last record counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import attrs

from fusionapp.adapters.filesystem.records import MALFORMED, ShardRecord, parse_header, parse_shard, shard_at
from fusionapp.adapters.filesystem.sealed import Scan, scan
from fusionapp.adapters.filesystem.shard_format import ShardFormat
from fusionapp.application.ports.embedding_store import Header
from fusionapp.domain.errors import CorruptArtifactError

MANIFEST = "manifest.jsonl"


@attrs.frozen
class Manifest:
    """A manifest as it stands on disk.

    Attributes:
        header: its first line.
        records: the last record of each shard, by shard index, ascending.
        problems: what is wrong with it, one line each; the records above are those that could be read.
        end: where its last whole line ends, in bytes.
        torn: an unterminated line follows.
    """

    header: Header
    records: Mapping[int, ShardRecord]
    problems: tuple[str, ...]
    end: int
    torn: bool


def read_manifest(directory: Path, form: ShardFormat) -> Manifest:
    """A set's manifest, its bad lines told but not fatal.

    Raises:
        CorruptArtifactError: it is missing, or its first line cannot be read.
    """
    lines = scan(directory / MANIFEST)
    header = _header(directory, lines, form)
    problems = dict(lines.bad)
    records = {}
    for number, line in lines.records.items():
        if number == 1:
            continue
        try:
            index = shard_at(header, line["index"]).index
            records[index] = parse_shard(line, header, form.file_names(index, header.shape))
        except MALFORMED as error:
            problems[number] = f"is no shard of this set: {error!r}"
    return Manifest(
        header=header,
        records=dict(sorted(records.items())),
        problems=tuple(f"line {number} {problems[number]}" for number in sorted(problems)),
        end=lines.end,
        torn=lines.torn,
    )


def trusted_manifest(directory: Path, form: ShardFormat) -> Manifest:
    """A set's manifest, every whole line as it was written; a torn tail is an append that a crash cut short.

    Raises:
        CorruptArtifactError: it is missing or was changed.
    """
    manifest = read_manifest(directory, form)
    if manifest.problems:
        raise _corrupt(directory, "; ".join(manifest.problems))
    return manifest


def _header(directory: Path, lines: Scan, form: ShardFormat) -> Header:
    if 1 not in lines.records:
        raise _corrupt(directory, f"line 1 {lines.bad.get(1, 'is missing or cut short')}")
    try:
        return parse_header(lines.records[1], form.name)
    except MALFORMED as error:
        raise _corrupt(directory, f"line 1 is no header: {error!r}") from error


def _corrupt(directory: Path, problem: str) -> CorruptArtifactError:
    return CorruptArtifactError(
        f"{directory / MANIFEST}: {problem}; remove {directory} and extract again, or restore it from a copy"
    )

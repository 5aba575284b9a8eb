"""The lines of a manifest as values: the header, and a record for each durable shard.

Checksums are no signatures, so nothing in a line is trusted to be well-formed: a line is structured
leniently, and accepted only if the result, written again, is the very same line.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence

import attrs
import numpy as np
from cattrs import Converter
from numpy.typing import NDArray

from fusionapp.adapters.filesystem.checksums import Checksum
from fusionapp.adapters.filesystem.sealed import seal
from fusionapp.application.ports.embedding_store import Header, Quarantined, Shard
from fusionapp.domain.embeddings import Json

VERSION = 1
"""Of the layout on disk; raised when an older fusionapp would misread a set."""

MALFORMED = (
    KeyError,
    TypeError,
    ValueError,
    AttributeError,
    IndexError,
    OverflowError,
    RecursionError,
)
"""What structuring a line of the wrong form raises."""

_CONVERTER = Converter(detailed_validation=False)


@attrs.frozen
class ShardRecord:
    """A durable shard.

    Attributes:
        shard: which rows.
        files: the checksums of its files, by name.
        truncated: how many of its kept texts were cut.
        quarantined: its rows that were left out, ascending.
        notes: what happened while it was encoded.
    """

    shard: Shard
    files: Mapping[str, Checksum]
    truncated: int
    quarantined: tuple[Quarantined, ...]
    notes: tuple[str, ...]

    @property
    def kept(self) -> int:
        """How many rows stand in the shard."""
        return self.shard.stop - self.shard.start - len(self.quarantined)

    def rows(self) -> NDArray[np.int64]:
        """(kept,) row numbers, ascending."""
        return kept_rows(self.shard, self.quarantined)


def kept_rows(shard: Shard, quarantined: Sequence[Quarantined]) -> NDArray[np.int64]:
    """(kept,) a shard's row numbers less the quarantined ones, ascending."""
    left_out = np.array([item.row for item in quarantined], dtype=np.int64)
    return np.setdiff1d(np.arange(shard.start, shard.stop, dtype=np.int64), left_out, assume_unique=True)


def shard_at(header: Header, index: int) -> Shard:
    """Shard `index` of a job.

    Raises:
        IndexError: the job has no such shard.
    """
    start = index * header.shard_rows
    if index < 0 or start >= header.rows:
        raise IndexError(f"there is no shard {index}")
    return Shard(index, start, min(start + header.shard_rows, header.rows))


def all_shards(header: Header) -> Iterator[Shard]:
    """How a job's rows are cut."""
    for start in range(0, header.rows, header.shard_rows):
        yield shard_at(header, start // header.shard_rows)


def header_line(header: Header, format_name: str) -> Json:
    """A header as the manifest holds it."""
    return {"kind": "header", "version": VERSION, "format": format_name, **attrs.asdict(header)}


def parse_header(line: Json, format_name: str) -> Header:
    """The header in a manifest's first line.

    Raises:
        ValueError: (or another of `MALFORMED`) it is none, or one of another version or format.
    """
    if line["version"] != VERSION:
        raise ValueError(f"layout version {line['version']!r}; this fusionapp reads version {VERSION}")
    if line["format"] != format_name:
        raise ValueError(f"format {line['format']!r} in a folder for {format_name!r}")
    header = _CONVERTER.structure(line, Header)
    _same(line, header_line(header, format_name))
    if header.rows < 0 or min(header.shard_rows, header.shape.layers, header.shape.dim) < 1:
        raise ValueError("a size is below its least value")
    if max(header.rows, header.shard_rows, header.shape.layers * header.shape.dim) > sys.maxsize:
        raise ValueError("a size is beyond what an array can have")
    if header.shape.sparse and header.shape.layers != 1:
        raise ValueError("a sparse embedding has one layer")
    return header


def shard_line(record: ShardRecord) -> Json:
    """A shard as the manifest holds it."""
    return {
        "kind": "shard",
        **attrs.asdict(record.shard),
        "files": {name: attrs.asdict(checksum) for name, checksum in record.files.items()},
        "kept": record.kept,
        "truncated": record.truncated,
        "quarantined": [[item.row, item.reason] for item in record.quarantined],
        "notes": list(record.notes),
    }


def parse_shard(line: Json, header: Header, files: Sequence[str]) -> ShardRecord:
    """The shard in a line of a manifest.

    Args:
        line: the line.
        header: of the same manifest.
        files: the names that the shard's files must have; no other name is ever opened.

    Raises:
        ValueError: (or another of `MALFORMED`) it is none, or not one of this set.
    """
    record = ShardRecord(
        shard=shard_at(header, line["index"]),
        files={name: Checksum(**line["files"][name]) for name in files},
        truncated=int(line["truncated"]),
        quarantined=tuple(Quarantined(int(row), str(reason)) for row, reason in line["quarantined"]),
        notes=tuple(str(note) for note in line["notes"]),
    )
    _same(line, shard_line(record))
    check_quarantined(record.shard, record.quarantined)
    if not 0 <= record.truncated <= record.kept:
        raise ValueError(f"{record.truncated} of {record.kept} texts truncated")
    # A row takes at least a byte in every format; memory for row numbers is taken before a file is opened.
    if record.kept > sum(checksum.bytes for checksum in record.files.values()):
        raise ValueError(f"its files are too small for {record.kept} rows")
    return record


def check_quarantined(shard: Shard, quarantined: Sequence[Quarantined]) -> None:
    """See that quarantined rows are the shard's own, each once, ascending.

    Raises:
        ValueError: they are not.
    """
    rows = [item.row for item in quarantined]
    if rows != sorted(set(rows)) or (rows and not (shard.start <= rows[0] and rows[-1] < shard.stop)):
        raise ValueError(f"quarantined rows {rows} are not ascending rows of [{shard.start}, {shard.stop})")


def _same(line: Json, written: Json) -> None:
    if seal(line) != seal(written):
        raise ValueError("a field is missing, unknown or of another type")

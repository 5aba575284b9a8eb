"""Lines of JSON that carry their own checksum, and an append-only log of them."""

from __future__ import annotations

import json
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import attrs

from fusionapp.adapters.filesystem import disk
from fusionapp.adapters.filesystem.atomic import disk_errors
from fusionapp.adapters.filesystem.checksums import disk_reads, open_regular
from fusionapp.domain.embeddings import Json

_HEAD = b'{"record":'
_MIDDLE = b',"sha256":"'
_TAIL = b'"}'
_AFTER_RECORD = len(_MIDDLE) + 64 + len(_TAIL)


def seal(record: Json) -> bytes:
    """One line, newline included: the record as canonical JSON, and the SHA-256 of exactly those bytes."""
    text = json.dumps(record, sort_keys=True, allow_nan=False, separators=(",", ":")).encode("ascii")
    return _HEAD + text + _MIDDLE + sha256(text).hexdigest().encode() + _TAIL + b"\n"


def unseal(line: bytes) -> Json:
    """The record of a line without its newline.

    Every byte is checked, not the parsed value: a flipped bit may leave the value as it is.

    Raises:
        ValueError: a byte differs from what `seal` wrote.
    """
    text = line[len(_HEAD) : -_AFTER_RECORD]
    if line != _HEAD + text + _MIDDLE + sha256(text).hexdigest().encode() + _TAIL:
        raise ValueError("does not match its checksum")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is not JSON: {error}") from error


@attrs.frozen
class Scan:
    """What stands in a log.

    Attributes:
        records: the records of the good lines, by line number counted from 1.
        bad: what is wrong with each bad line that ends in a newline, by line number.
        end: where the last whole line ends, in bytes.
        torn: an unterminated last line follows, as a crash during an append leaves it.
    """

    records: dict[int, Json]
    bad: dict[int, str]
    end: int
    torn: bool


def scan(path: Path) -> Scan:
    """Read a log, good lines and bad.

    Raises:
        CorruptArtifactError: it is missing, no plain file, or cannot be read any more.
    """
    with disk_reads(path), open_regular(path) as file:
        content = file.read()
    *lines, tail = content.split(b"\n")
    records: dict[int, Json] = {}
    bad: dict[int, str] = {}
    for number, line in enumerate(lines, 1):
        try:
            records[number] = unseal(line)
        except ValueError as error:
            bad[number] = str(error)
    return Scan(records, bad, len(content) - len(tail), bool(tail))


class Log:
    """The writing end of a log, for whoever holds the lock."""

    def __init__(self, path: Path, end: int) -> None:
        """Continue at byte `end`; what follows it (a torn tail) is cut off."""
        self._path = path
        self._end = end
        with disk_errors(path):
            self._write(b"")

    def append(self, *records: Json) -> None:
        """Add records durably.

        Raises:
            ResourceError: the disk is full; the log is as before.
        """
        lines = b"".join(seal(record) for record in records)
        with disk_errors(self._path):
            try:
                self._write(lines)
            except OSError:
                with suppress(OSError), disk.DISK.reopen(self._path) as file:
                    disk.DISK.truncate(file, self._end)
                raise
        self._end += len(lines)

    def _write(self, lines: bytes) -> None:
        """Put lines at the end. A tail that an earlier failure could not cut off is cut off first."""
        with disk.DISK.reopen(self._path) as file:
            disk.DISK.truncate(file, self._end)
            disk.DISK.write(file, lines)
            disk.DISK.sync(file)

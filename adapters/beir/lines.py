"""The files of a BEIR directory, read as streams: JSON lines, and judgements as TSV."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import attrs

from fusionapp.domain.columns import Place, read_text
from fusionapp.domain.errors import DatasetError

_BOM = b"\xef\xbb\xbf"


@attrs.frozen
class Judgement:
    """One line of a qrels file.

    Attributes:
        query_id: the query's.
        document_id: the document's.
        grade: how relevant; 0 or less is not.
        place: where it stands.
    """

    query_id: str
    document_id: str
    grade: int
    place: Place


def find_file(directory: Path, name: str) -> Path | None:
    """A file or its gzipped twin; None where there is neither."""
    return next((path for path in (directory / name, directory / f"{name}.gz") if path.is_file()), None)


def read_records(path: Path) -> Iterator[tuple[Place, str, dict[str, object]]]:
    """Objects of a JSON lines file, each with its place and its ``_id``.

    Raises:
        DatasetError: it cannot be read, or a line is no object with an ``_id``.
    """
    for place, line in _lines(path):
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise place.error(f"not JSON ({error}); write one object a line") from error
        if not isinstance(values, dict) or not isinstance(values.get("_id"), str | int):
            raise place.error('expected an object with a string "_id"')
        yield place, read_text(str(values["_id"]), "_id", place), values


def read_judgements(path: Path) -> Iterator[Judgement]:
    """Lines of a qrels file after its header ``query-id corpus-id score``; TREC's four columns are read too.

    Raises:
        DatasetError: it cannot be read, or a line has other columns or no whole number as grade.
    """
    for place, line in _lines(path):
        cells = line.split("\t") if "\t" in line else line.split()
        if len(cells) == 4:
            del cells[1]  # TREC's iteration, always 0
        if len(cells) != 3:
            raise place.error(f"expected query-id, corpus-id and score separated by tabs, got {line!r}")
        query, document, grade = (cell.strip() for cell in cells)
        try:
            yield Judgement(query, document, int(grade), place)
        except ValueError as error:
            if place.line == 1:  # the header
                continue
            raise place.error(f"expected a whole number as score, got {grade!r}", "score") from error


def _lines(path: Path) -> Iterator[tuple[Place, str]]:
    row = 0
    with _opened(path) as stream:
        for number, line in enumerate(stream, 1):
            content = line.removeprefix(_BOM) if number == 1 else line
            if not content.strip():
                continue
            place = Place(str(path), row, number)
            try:
                yield place, content.decode().rstrip("\r\n")
            except UnicodeDecodeError as error:
                byte = error.object[error.start]
                raise place.error(f"byte 0x{byte:02x} is not UTF-8; save the file as UTF-8") from error
            row += 1


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            yield cast("BinaryIO", stream)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DatasetError(f"{path}: damaged gzip file ({error}); copy or download it again") from error
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror or error})") from error

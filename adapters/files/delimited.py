"""CSV and TSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from fusionapp.adapters.files.opening import find_bad_byte, not_utf8, opened
from fusionapp.domain.columns import Columns, Place
from fusionapp.domain.errors import DatasetError

# csv's own limit of 131,072 characters refuses real documents. A limit there must be: after an unclosed quote
# the whole rest of the file is one cell.
FIELD_LIMIT = 1 << 26


class _Records(Protocol):
    """What csv.reader returns; its class has no public name."""

    line_num: int

    def __next__(self) -> list[str]: ...


def read_delimited(
    path: Path, layout: Columns, first_row: int, delimiter: str = ","
) -> Iterator[tuple[Place, dict[str, object]]]:
    """Rows of a file whose first line names the columns; cells are strings, quoted ones may hold line breaks.

    Blank lines are skipped. A quote that is closed halfway through a cell, or never, is an error.

    Raises:
        DatasetError: damaged quoting, a row with too few or too many cells, a missing column, not UTF-8.
    """
    # The limit is the process's; csv has no other.
    csv.field_size_limit(max(FIELD_LIMIT, csv.field_size_limit()))
    with opened(path) as raw:
        lines = io.TextIOWrapper(raw, "utf-8-sig", errors="surrogateescape", newline="")
        records = _records(csv.reader(lines, delimiter=delimiter, strict=True), path, first_row)
        place, header = next(records, (Place(str(path)), []))
        if not header:
            raise place.error("the file is empty; its first line should name the columns")
        _check_utf8(header, None, place)
        layout.check(header, place)
        for place, cells in records:
            _check_utf8(cells, header, place)
            if len(cells) != len(header):
                raise place.error(
                    f"{len(cells)} cells where the header has {len(header)};"
                    f" put cells that hold {delimiter!r}, quotes or line breaks in double quotes"
                )
            yield place, dict(zip(header, cells, strict=True))


def _records(reader: _Records, path: Path, first_row: int) -> Iterator[tuple[Place, list[str]]]:
    """Records that are not blank, each with its place; the first, the header, is no row."""
    row, line = first_row - 1, 1
    while True:
        place = Place(str(path), row if row >= first_row else None, line)
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise _malformed(place, error) from error
        if cells:
            yield place, cells
            row += 1
        line = reader.line_num + 1


def _malformed(place: Place, error: csv.Error) -> DatasetError:
    return place.error(
        f"malformed quoting ({error}); a cell that starts with a double quote ends with one,"
        ' and one inside is written ""'
    )


def _check_utf8(cells: list[str], header: list[str] | None, place: Place) -> None:
    """Look at the whole record at once, then name the cell."""
    if find_bad_byte("".join(cells)) is None:
        return
    for index, cell in enumerate(cells):
        byte = find_bad_byte(cell)
        if byte is not None:
            column = header[index] if header and index < len(header) else None
            raise not_utf8(place, byte, column)

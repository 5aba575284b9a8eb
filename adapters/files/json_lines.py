"""JSON lines: one object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from fusionapp.adapters.files.opening import find_bad_byte, not_utf8, opened
from fusionapp.domain.columns import Columns, Place

_BOM = b"\xef\xbb\xbf"


def read_json_lines(path: Path, layout: Columns, first_row: int) -> Iterator[tuple[Place, dict[str, object]]]:
    """Objects of a file, blank lines skipped.

    Raises:
        DatasetError: a line that is no JSON object or not UTF-8, or lacks a column.
    """
    row = first_row
    with opened(path) as stream:
        for number, line in enumerate(stream, 1):
            content = line.removeprefix(_BOM) if number == 1 else line
            if not content.strip():
                continue
            place = Place(str(path), row, number)
            values = _parse(content, place)
            layout.check(values, place)
            yield place, values
            row += 1


def _parse(line: bytes, place: Place) -> dict[str, object]:
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise not_utf8(place, line[error.start], _bad_column(line)) from error
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        hint = "; write one object a line (jq -c '.[]' splits an array)" if text.lstrip()[0] in "[{" else ""
        raise place.error(f"not JSON ({error}){hint}") from error
    if not isinstance(values, dict):
        raise place.error(
            f"expected one object a line, got {type(values).__name__}; jq -c '.[]' splits an array into lines"
        )
    return values


def _bad_column(line: bytes) -> str | None:
    """The column whose value holds the byte that is not UTF-8, if the line is JSON at all."""
    try:
        values = json.loads(line.decode(errors="surrogateescape"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, dict):
        return None
    bad = (
        column
        for column, value in values.items()
        if find_bad_byte(json.dumps(value, ensure_ascii=False)) is not None and find_bad_byte(column) is None
    )
    return next(bad, None)

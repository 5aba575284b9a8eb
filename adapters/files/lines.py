"""Plain text: a text a line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from fusionapp.adapters.files.opening import not_utf8, opened
from fusionapp.domain.columns import Columns, Place

_BOM = b"\xef\xbb\xbf"


def read_lines(path: Path, layout: Columns, first_row: int) -> Iterator[tuple[Place, dict[str, object]]]:
    """Lines of a file, each as the text column, whatever its name. A blank line is a blank text.

    Raises:
        DatasetError: another column is asked for, or a line is not UTF-8.
    """
    text, *others = layout.columns
    if others:
        raise Place(str(path)).error(
            "a .txt file holds a text a line and no other column; use .jsonl or .csv", others[0]
        )
    with opened(path) as stream:
        for row, (place, line) in enumerate(decoded_lines(stream, str(path)), first_row):
            yield Place(str(path), row, place.line), {text: line}


def decoded_lines(stream: Iterable[bytes], source: str) -> Iterator[tuple[Place, str]]:
    """Lines without their ends, each with its place.

    Raises:
        DatasetError: a line is not UTF-8.
    """
    for number, line in enumerate(stream, 1):
        content = line.removeprefix(_BOM) if number == 1 else line
        place = Place(source, number - 1, number)
        try:
            yield place, content.rstrip(b"\r\n").decode()
        except UnicodeDecodeError as error:
            raise not_utf8(place, line[error.start]) from error

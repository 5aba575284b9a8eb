"""The names of integer classes, from a file beside the data."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path

from fusionapp.adapters.files.opening import not_utf8, opened
from fusionapp.domain.columns import Place
from fusionapp.domain.errors import DatasetError

_NAME_NUMBER = re.compile(r"(.*\S)[\s,:=]+(\d+)")
_NUMBER_NAME = re.compile(r"(\d+)[\s,:=]+(.*\S)")


def read_class_names(path: str | PathLike[str]) -> Mapping[str | int, str] | Sequence[str]:
    """Names from a JSON list or object, or from lines: ``admiration 0``, ``0 admiration``, or the name alone.

    Raises:
        DatasetError: no such file, not UTF-8, or lines of several layouts.
    """
    file = Path(path).expanduser()
    with opened(file) as stream:
        raw = stream.read()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise not_utf8(Place(str(file), line=line), error.object[error.start]) from error
    if file.suffix.lower() == ".json":
        return _from_json(text, file)
    lines = [stripped for line in text.split("\n") if (stripped := line.strip())]
    if not lines:
        raise DatasetError(f"{file}: the file is empty; write one class a line, such as 'admiration 0'")
    pairs = _pairs(lines)
    if pairs is None:
        if any(_NAME_NUMBER.fullmatch(line) or _NUMBER_NAME.fullmatch(line) for line in lines):
            raise DatasetError(f"{file}: some lines have a number and some have none; number all or none")
        return lines
    if len({number for number, _ in pairs}) < len(pairs):
        raise DatasetError(f"{file}: two classes have the same number; number each once")
    return dict(pairs)


def _pairs(lines: Sequence[str]) -> list[tuple[str | int, str]] | None:
    named = [_NAME_NUMBER.fullmatch(line) for line in lines]
    if all(named):
        return [(int(match[2]), match[1]) for match in named if match]
    numbered = [_NUMBER_NAME.fullmatch(line) for line in lines]
    if all(numbered):
        return [(int(match[1]), match[2]) for match in numbered if match]
    return None


def _from_json(text: str, path: Path) -> Mapping[str | int, str] | Sequence[str]:
    try:
        names = json.loads(text)
    except ValueError as error:
        raise DatasetError(f"{path}: not JSON ({error})") from error
    if not isinstance(names, list | dict):
        raise DatasetError(f"{path}: expected a list of names or an object {{label: name}}")
    return names

"""From a row of named columns to an example, whatever file or library the row came from."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, time
from typing import Protocol

import attrs

from fusionapp.domain.embeddings import Json
from fusionapp.domain.errors import DatasetError, UsageError
from fusionapp.domain.examples import Example
from fusionapp.domain.templates import TextTemplate

_WHOLE_FLOAT = re.compile(r"(-?\d+)\.0")


@attrs.frozen
class Place:
    """Where in the input something stands, for messages.

    Attributes:
        source: the file or dataset.
        row: the data row in its split, counted from 0 as in the default id; None before the first.
        line: the line of a text file, counted from 1, header included; the first of a row that spans several.
    """

    source: str
    row: int | None = None
    line: int | None = None

    def error(self, problem: str, column: str | None = None) -> DatasetError:
        """A DatasetError that starts with the place."""
        where = [self.source]
        if self.row is not None:
            where.append(f"row {self.row} (counted from 0)")
        if self.line is not None:
            where.append(f"line {self.line}")
        if column is not None:
            where.append(f"column {column!r}")
        return DatasetError(f"{', '.join(where)}: {problem}")


class Columns(Protocol):
    """What a reader of tables is asked for."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that is read, each once."""

    def check(self, there: Iterable[str], place: Place) -> None:
        """Compare with the columns that there are.

        Raises:
            DatasetError: one is missing, or its name stands twice.
        """


@attrs.frozen
class ColumnLayout:
    """Which columns hold what.

    Attributes:
        text: the text column or columns and how they are joined.
        label: the label's column, or None for texts without labels.
        id: columns that travel into every output; none means the row number.
        class_names: the name of each label as printed (``{"3": "annoyance"}``); empty keeps them.
    """

    text: TextTemplate
    label: str | None = None
    id: tuple[str, ...] = ()
    class_names: Mapping[str, str] = attrs.field(factory=dict)

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that is read, each once."""
        label = () if self.label is None else (self.label,)
        return tuple(dict.fromkeys((*self.text.columns, *label, *self.id)))

    def check(self, there: Iterable[str], place: Place) -> None:
        """Compare with the columns that there are.

        Raises:
            DatasetError: one is missing, or its name stands twice.
        """
        check_columns(self.columns, there, place)

    def example(self, values: Mapping[str, object], place: Place) -> Example:
        """One row as an example. Blank text passes: whether it is an error is the service's decision.

        Raises:
            DatasetError: text or label that is missing or of another type; names the place.
        """
        parts = {column: read_text(values[column], column, place) for column in self.text.columns}
        label = None if self.label is None else self._label(values[self.label], self.label, place)
        id_columns = {column: read_id(values[column], column, place) for column in self.id}
        return Example(self.text.join(parts), label, id_columns or {"row": place.row})

    def _label(self, value: object, column: str, place: Place) -> str:
        label = format_label(value)
        if label is None:
            raise place.error(_bad_label(value), column)
        _check_unicode(label, column, place)
        if not self.class_names:
            return label
        if label in self.class_names:
            return self.class_names[label]
        if label in self.class_names.values():
            return label
        known = ", ".join(list(self.class_names)[:5])
        raise place.error(
            f"label {label!r} has no name among the {len(self.class_names)} of dataset.class_names"
            f" (its first keys: {known}); add it there",
            column,
        )


def check_columns(columns: Iterable[str], there: Iterable[str], place: Place) -> None:
    """See that each column is among those that there are, once.

    Raises:
        DatasetError: one is missing, or its name stands twice.
    """
    names = list(there)
    for column in columns:
        if column not in names:
            listed = ", ".join(map(repr, names)) or "none"
            problem = f"no such column; the columns there are: {listed}"
            if len(names) == 1 and (found := re.search(r"[;\t|,]", names[0])):
                problem += f" (is the file separated by {found[0]!r}? Convert it, or name it .csv or .tsv)"
            raise place.error(problem, column)
        if names.count(column) > 1:
            raise place.error("two columns have this name; rename one", column)


def layout(
    text: str | Iterable[str],
    label: str | None = None,
    id: str | Iterable[str] | None = None,
    template: str | None = None,
    class_names: Mapping[str | int, str] | Sequence[str] | None = None,
) -> ColumnLayout:
    """A layout from settings as an experiment file gives them.

    Raises:
        UsageError: a template or class names that make no sense.
    """
    ids = (id,) if isinstance(id, str) else tuple(id or ())
    return ColumnLayout(TextTemplate.of(text, template), label, ids, name_classes(class_names))


def name_classes(names: Mapping[str | int, str] | Sequence[str] | None) -> dict[str, str]:
    """Label to name: a list names 0, 1, ...; a mapping goes from label to name, or from name to integer.

    Raises:
        UsageError: names that are not text, or two labels of one name.
    """
    if not names:
        return {}
    if isinstance(names, str):
        raise UsageError(f"dataset.class_names: expected a list or a table, got {names!r}")
    pairs: list[tuple[object, object]] = (
        [*names.items()] if isinstance(names, Mapping) else [*enumerate(names)]
    )
    if all(not isinstance(value, str) for _, value in pairs):
        pairs = [(value, key) for key, value in pairs]  # {"admiration": 0}, as in a label2idx file
    named = {format_label(label): name for label, name in pairs}
    clean = {label: name for label, name in named.items() if label and isinstance(name, str) and name.strip()}
    if len(clean) < len(named):
        raise UsageError("dataset.class_names: expected the name of each label, as a list or {label = name}")
    if len(set(clean.values())) < len(pairs):
        raise UsageError("dataset.class_names: two labels share a name, or one label is named twice")
    return clean


def format_label(value: object) -> str | None:
    """A label as it is printed, or None where it is missing or no label: 3, 3.0 and "3.0" are "3".

    pandas writes the integers of a column that has gaps as 3.0, and the gaps as NaN or an empty cell.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return str(int(value)) if value.is_integer() else repr(value)
    if not isinstance(value, str) or not value.strip() or value in ("nan", "NaN"):
        return None
    whole = _WHOLE_FLOAT.fullmatch(value)
    return whole[1] if whole else value


def _bad_label(value: object) -> str:
    if value is None or isinstance(value, float | str):
        shown = "" if value is None else f" ({value!r})"
        return f"the label is missing{shown}; label the row, drop it, or leave dataset.label out"
    return f"expected a string or an integer as label, got {type(value).__name__} {shorten(value)}"


def read_text(value: object, column: str, place: Place) -> str:
    """A cell that must hold text; blank text passes.

    Raises:
        DatasetError: it is missing, of another type, or no Unicode.
    """
    if isinstance(value, str):
        _check_unicode(value, column, place)
        return value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        raise place.error("the text is missing (null); fill it in or drop the row", column)
    raise place.error(f"expected text, got {type(value).__name__} {shorten(value)}", column)


def _check_unicode(value: str, column: str, place: Place) -> None:
    """JSON can spell half a surrogate pair, which no UTF-8 file and no tokenizer can hold."""
    if value.isascii():
        return
    try:
        value.encode()
    except UnicodeEncodeError as error:
        code = ord(value[error.start])
        raise place.error(
            f"not Unicode text: character {error.start} is a lone surrogate U+{code:04X}", column
        ) from error


def read_id(value: object, column: str, place: Place) -> Json:
    """A cell that names something, as JSON holds it; None where it is missing.

    Raises:
        DatasetError: it is neither a string, a number nor a date.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, date | time):
        return value.isoformat()
    raise place.error(
        f"expected a string or a number as id, got {type(value).__name__} {shorten(value)}", column
    )


def shorten(value: object) -> str:
    """A value for a message."""
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."

"""From a row of named columns to a pair, whatever file or library the row came from."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b

import attrs

from fusionapp.domain.columns import Place, check_columns, format_label, read_id, read_text, shorten
from fusionapp.domain.retrieval.pairs import Pair
from fusionapp.domain.templates import TextTemplate


@attrs.frozen
class PairLayout:
    """Which columns hold what.

    Attributes:
        query: the query's column or columns and how they are joined.
        document: the document's.
        topic: the topic's column, or None.
        label: the column of the label that makes documents alike, or None.
        date: the date's column, or None.
        id: columns that name the document, joined with "/"; none means a hash of its text.
        query_id: columns that name the query, as `id`.
        negatives: columns of hard negatives: each holds a text, a list of texts, or a JSON list of texts.
        grade: the column of the grade, or None for 1 everywhere.
    """

    query: TextTemplate
    document: TextTemplate
    topic: str | None = None
    label: str | None = None
    date: str | None = None
    id: tuple[str, ...] = ()
    query_id: tuple[str, ...] = ()
    negatives: tuple[str, ...] = ()
    grade: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that is read, each once."""
        single = (column for column in (self.topic, self.label, self.date, self.grade) if column is not None)
        several = (*self.id, *self.query_id, *self.negatives)
        return tuple(dict.fromkeys((*self.query.columns, *self.document.columns, *single, *several)))

    def check(self, there: Iterable[str], place: Place) -> None:
        """Compare with the columns that there are.

        Raises:
            DatasetError: one is missing, or its name stands twice.
        """
        check_columns(self.columns, there, place)

    def pair(self, values: Mapping[str, object], place: Place, topic: str | None = None) -> Pair:
        """One row as a pair.

        Args:
            values: by column.
            place: of the row, for messages.
            topic: of rows that name none of their own.

        Raises:
            DatasetError: a text, id or grade that is missing, blank or of another type; names the place.
        """
        query = _join(self.query, values, place)
        document = _join(self.document, values, place)
        return Pair(
            query=query,
            document=document,
            query_id=_name(self.query_id, values, place) or name_by_text(query),
            document_id=_name(self.id, values, place) or name_by_text(document),
            topic=_optional(self.topic, values, place) or topic,
            label=None if self.label is None else format_label(values[self.label]),
            date=_optional(self.date, values, place),
            negatives=tuple(
                text for column in self.negatives for text in _texts(values[column], column, place)
            ),
            grade=1 if self.grade is None else _grade(values[self.grade], self.grade, place),
        )


def pair_layout(
    query: str | Iterable[str] = "query",
    document: str | Iterable[str] = "document",
    *,
    topic: str | None = None,
    label: str | None = None,
    date: str | None = None,
    id: str | Iterable[str] | None = None,
    query_id: str | Iterable[str] | None = None,
    negatives: str | Iterable[str] | None = None,
    grade: str | None = None,
) -> PairLayout:
    """A layout from settings as an experiment file gives them; several text columns are joined one a line.

    Raises:
        UsageError: no text column, or one named twice.
    """
    return PairLayout(
        TextTemplate.of(query, key="dataset.query"),
        TextTemplate.of(document, key="dataset.document"),
        topic,
        label,
        date,
        _names(id),
        _names(query_id),
        _names(negatives),
        grade,
    )


def name_by_text(text: str) -> str:
    """An id for a text that has none: equal texts have one id.

    Returns:
        32 hex digits of BLAKE2b; two texts agree with a chance below 1e-22 among 10⁸.
    """
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def check_filled(text: str, what: str, column: str, place: Place) -> str:
    """A text that must hold more than white space.

    Raises:
        DatasetError: it is blank.
    """
    if not text.strip():
        raise place.error(f"the {what} is blank; fill it in or remove the row", column)
    return text


def _names(columns: str | Iterable[str] | None) -> tuple[str, ...]:
    return (columns,) if isinstance(columns, str) else tuple(columns or ())


def _join(template: TextTemplate, values: Mapping[str, object], place: Place) -> str:
    text = template.join({column: read_text(values[column], column, place) for column in template.columns})
    return check_filled(text, "text", " + ".join(template.columns), place)


def _name(columns: tuple[str, ...], values: Mapping[str, object], place: Place) -> str | None:
    if not columns:
        return None
    parts = []
    for column in columns:
        value = read_id(values[column], column, place)
        if value is None or not str(value).strip():
            raise place.error(
                "the id is missing; fill it in, or name no id column: texts then name themselves", column
            )
        parts.append(read_text(str(value), column, place))
    return "/".join(parts)


def _optional(column: str | None, values: Mapping[str, object], place: Place) -> str | None:
    """A cell that may be empty: a topic, a date."""
    if column is None:
        return None
    value = read_id(values[column], column, place)
    return None if value is None or not str(value).strip() else read_text(str(value), column, place)


def _texts(value: object, column: str, place: Place) -> Iterator[str]:
    """Hard negatives of one cell; an empty cell holds none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return
    if isinstance(value, str):
        if not value.strip():
            return
        value = _parse_list(value) if value.lstrip().startswith("[") else [value]
    if not isinstance(value, list | tuple):
        raise place.error(
            f"expected a text or a list of texts, got {type(value).__name__} {shorten(value)}", column
        )
    for text in value:
        yield check_filled(read_text(text, column, place), "negative", column, place)


def _parse_list(text: str) -> object:
    """A JSON list; what starts with a bracket and is none is a text, such as "[Fe/H] of halo stars"."""
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return [text]
    return parsed if isinstance(parsed, list) else [text]


def _grade(value: object, column: str, place: Place) -> int:
    label = format_label(value)
    if label is None or not label.lstrip("-").isdecimal() or int(label) < 1:
        raise place.error(
            f"expected a grade of at least 1, got {shorten(value)}; a document that is not relevant is no pair",
            column,
        )
    return int(label)

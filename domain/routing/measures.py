"""Numbers of several models in one row, whichever columns they stand in."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import attrs

from fusionapp.domain.columns import Place, read_text, shorten
from fusionapp.domain.errors import UsageError


class Measure(Protocol):
    """Where a number of each model stands: its score, its cost."""

    @property
    def required(self) -> Sequence[str]:
        """Columns without which a row cannot be read."""

    def columns(self, there: Iterable[str]) -> Sequence[str]:
        """Those of the columns that there are which are read."""

    def read(self, values: Mapping[str, object], place: Place) -> Mapping[str, tuple[float, str]]:
        """Each model's number and the column that it stands in; models without one are left out.

        Raises:
            DatasetError: a cell that is no finite number; names the place.
        """


@attrs.frozen
class MappingColumn:
    """A column of mappings from model to number: a JSON object, its text, a struct or a map."""

    column: str

    @property
    def required(self) -> Sequence[str]:
        """The column."""
        return (self.column,)

    def columns(self, there: Iterable[str]) -> Sequence[str]:
        """The column."""
        return (self.column,)

    def read(self, values: Mapping[str, object], place: Place) -> Mapping[str, tuple[float, str]]:
        """The mapping's numbers; an empty cell holds none."""
        found = {}
        for model, value in _mapping(values.get(self.column), self.column, place).items():
            number = read_number(value, self.column, place, f"of model {model!r}")
            if number is not None:
                found[model] = (number, self.column)
        return found


@attrs.frozen
class NamedColumns:
    """A column for each model, called by its name."""

    models: tuple[str, ...]

    @property
    def required(self) -> Sequence[str]:
        """All of them: a name that was misspelt must not read as a model that never answered."""
        return self.models

    def columns(self, there: Iterable[str]) -> Sequence[str]:
        """All of them."""
        return self.models

    def read(self, values: Mapping[str, object], place: Place) -> Mapping[str, tuple[float, str]]:
        """The columns' numbers."""
        return _numbers({model: model for model in self.models}, values, place)


@attrs.frozen
class PatternColumns:
    """A column for each model, called by a pattern such as "score_*" or "*|total_cost"."""

    before: str
    after: str

    @classmethod
    def of(cls, pattern: str, key: str) -> PatternColumns:
        """From a pattern with one star.

        Raises:
            UsageError: it has another number of stars.
        """
        if pattern.count("*") != 1:
            raise UsageError(f'{key}: expected one "*", which stands for the model, got {pattern!r}')
        return cls(*pattern.split("*"))

    @property
    def required(self) -> Sequence[str]:
        """None by itself."""
        return ()

    def columns(self, there: Iterable[str]) -> Sequence[str]:
        """Those that fit."""
        return tuple(self._models(there))

    def read(self, values: Mapping[str, object], place: Place) -> Mapping[str, tuple[float, str]]:
        """The fitting columns' numbers."""
        return _numbers(self._models(values), values, place)

    def _models(self, there: Iterable[str]) -> dict[str, str]:
        fixed = len(self.before) + len(self.after)
        return {
            column: column[len(self.before) : len(column) - len(self.after)]
            for column in there
            if len(column) > fixed and column.startswith(self.before) and column.endswith(self.after)
        }


@attrs.frozen
class ColumnOfModel:
    """A number of the one model that the row names."""

    column: str
    model: str

    @property
    def required(self) -> Sequence[str]:
        """Both columns."""
        return (self.column, self.model)

    def columns(self, there: Iterable[str]) -> Sequence[str]:
        """Both columns."""
        return (self.column, self.model)

    def read(self, values: Mapping[str, object], place: Place) -> Mapping[str, tuple[float, str]]:
        """The number, by the row's model."""
        model = read_model(values.get(self.model), self.model, place)
        number = read_number(values.get(self.column), self.column, place)
        return {} if number is None else {model: (number, self.column)}


def read_number(value: object, column: str, place: Place, of: str = "") -> float | None:
    """A cell that may hold a number; None where it is empty.

    Raises:
        DatasetError: it holds something else, or an infinity.
    """
    if isinstance(value, str) and value.strip():
        try:
            value = float(value)
        except ValueError:
            raise place.error(f"expected a number{_space(of)}, got {shorten(value)}", column) from None
    if value is None or isinstance(value, str) or (isinstance(value, float) and math.isnan(value)):
        return None
    if not isinstance(value, int | float) or math.isinf(value):
        raise place.error(f"expected a number{_space(of)}, got {shorten(value)}", column)
    return float(value)


def read_model(value: object, column: str, place: Place) -> str:
    """A cell that names a model.

    Raises:
        DatasetError: it is blank or no text.
    """
    name = read_text(value, column, place)
    if not name.strip():
        raise place.error("the model's name is blank; fill it in or remove the row", column)
    return name


def _numbers(
    models: Mapping[str, str], values: Mapping[str, object], place: Place
) -> dict[str, tuple[float, str]]:
    read = {column: read_number(values.get(column), column, place) for column in models}
    return {models[column]: (number, column) for column, number in read.items() if number is not None}


def _mapping(value: object, column: str, place: Place) -> Mapping[str, object]:
    given = value
    if value is None or (isinstance(value, str) and not value.strip()):
        return {}
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = None
    if isinstance(value, list) and all(isinstance(item, tuple) and len(item) == 2 for item in value):
        value = dict(value)  # as Arrow gives a map
    if not isinstance(value, Mapping) or not all(isinstance(key, str) and key.strip() for key in value):
        raise place.error(
            f'expected a mapping from model to number, such as {{"gpt-4": 0.5}}, got {shorten(given)}', column
        )
    return value


def _space(text: str) -> str:
    return f" {text}" if text else ""

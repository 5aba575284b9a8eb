"""One text out of several columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from string import Formatter

import attrs

from fusionapp.domain.errors import UsageError


@attrs.frozen
class TextTemplate:
    """How a row's text columns become one text.

    Attributes:
        columns: the columns read, in order.
        parts: (literal text, the column that follows it or None), as ``string.Formatter.parse`` splits them.
    """

    columns: tuple[str, ...]
    parts: tuple[tuple[str, str | None], ...]

    @classmethod
    def of(
        cls, text: str | Iterable[str], template: str | None = None, key: str = "dataset.text"
    ) -> TextTemplate:
        """From a column or several, and a template such as ``"{title}. {abstract}"``; default: one a line.

        `key` is the setting that names the columns, for messages.

        Raises:
            UsageError: no column, a column named twice, or a template that does not use just these columns.
        """
        columns = (text,) if isinstance(text, str) else tuple(text)
        if not columns or not all(isinstance(column, str) and column for column in columns):
            raise UsageError(f"{key}: expected a column or a list of columns, got {text!r}")
        if len(set(columns)) < len(columns):
            raise UsageError(f"{key}: a column is named twice in {list(columns)}")
        if template is None:
            return cls(columns, tuple(("\n" if i else "", column) for i, column in enumerate(columns)))
        return cls(columns, _parse(template, columns))

    def join(self, values: Mapping[str, str]) -> str:
        """The text of one row. Braces inside the values are text, never fields."""
        return "".join(literal + ("" if column is None else values[column]) for literal, column in self.parts)


def _parse(template: str, columns: tuple[str, ...]) -> tuple[tuple[str, str | None], ...]:
    """Split a template; only plain ``{column}`` fields are taken, so that it can reach no attribute."""
    where = f"dataset.template: {template!r}"
    try:
        parsed = list(Formatter().parse(template))
    except ValueError as error:
        raise UsageError(
            f"{where} cannot be read ({error}); write a literal brace as {{{{ or }}}}"
        ) from error
    for _, column, spec, conversion in parsed:
        if column is not None and (spec or conversion or column not in columns):
            asked = column + (f"!{conversion}" if conversion else "") + (f":{spec}" if spec else "")
            fields = ", ".join(f"{{{name}}}" for name in columns)
            raise UsageError(f"{where} has a field {{{asked}}}; the fields there are: {fields}")
    unused = [column for column in columns if column not in {field for _, field, _, _ in parsed}]
    if unused:
        raise UsageError(f"{where} leaves out {unused}; name each column of dataset.text, or drop it there")
    return tuple((literal, column) for literal, column, _, _ in parsed)

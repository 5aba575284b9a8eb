"""The columns of one table of answers, settled by a first look at them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from fusionapp.domain.columns import Place
from fusionapp.domain.routing.answer_columns import AnswerColumns
from fusionapp.domain.routing.answer_layouts import AnswerLayout, check_layout
from fusionapp.domain.routing.rows import AnswerRow


@attrs.define
class DetectedColumns:
    """The columns of one table, whose layout is settled by its first look at them.

    Attributes:
        settings: what the experiment says.
    """

    settings: AnswerColumns
    _layout: AnswerLayout | None = None
    _columns: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that is read and is there; before the first `check` those that the least is made of."""
        return self._columns or ("prompt", "scores")

    def check(self, there: Iterable[str], place: Place) -> None:
        """Find the layout, or compare with the one that was found.

        Raises:
            DatasetError: no layout or several fit, or a column is missing or stands twice.
        """
        names = list(there)
        if self._layout is None:
            self._layout = self.settings.find(names, place)
        check_layout(self._layout, names, place)
        self._columns = tuple(column for column in self._layout.columns(names) if column in names)

    def row(self, values: Mapping[str, object], place: Place) -> AnswerRow:
        """One row of the table.

        Raises:
            DatasetError: a cell that cannot be read; names the place.
        """
        if self._layout is None:
            raise place.error("the columns were not looked at")
        return self._layout.row(values, place)

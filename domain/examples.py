"""One labelled text, as a dataset source yields it."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from fusionapp.domain.embeddings import Json


@attrs.frozen
class Example:
    """One text with what travels beside it.

    Attributes:
        text: what the encoders read.
        label: the class as it is printed, or None where the data has no label.
        id: id columns by name; the row number under "row" where the experiment names none.
    """

    text: str
    label: str | None = None
    id: Mapping[str, Json] = attrs.field(factory=dict)

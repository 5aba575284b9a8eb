"""What is explained, and what an explanation consists of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.charts import Figure
from fusionapp.application.ports.head_inspector import Part
from fusionapp.domain.embeddings import Embeddings, Json

MOST_DRAWN = 60
"""Classes that a figure can show; tables hold them all."""


@attrs.frozen(eq=False)
class Subject:
    """Rows on which heads are explained.

    Attributes:
        split: what they are called.
        spooled: the split of the input that they stand in: train, where validation is a part of it.
        rows: (rows,) row numbers in it, ascending.
        labels: (rows,) int64 class indices.
        classes: labels as printed, in the order of class indices.
        sources: the rows' embeddings by encoder name.
        views: by encoder name, what each of its layers is called.
    """

    split: str
    spooled: str
    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    classes: Sequence[str]
    sources: Mapping[str, Embeddings]
    views: Mapping[str, Sequence[str]]

    def name(self, part: Part) -> str:
        """A part as printed: "minilm", "minilm layer -2"."""
        return part.name if part.layer is None else f"{part.name} layer {self.views[part.name][part.layer]}"

    def largest(self, sizes: NDArray[np.int64]) -> NDArray[np.int64]:
        """At most `MOST_DRAWN` classes, those of the largest sizes (classes,), in their own order."""
        return np.sort(np.argsort(-sizes, kind="stable")[:MOST_DRAWN]).astype(np.int64)


@attrs.frozen(eq=False)
class Finding:
    """One table of an explanation and, where there is something to see, its figure.

    Attributes:
        name: of its files, without an ending.
        title: in a few words.
        reading: how to read it.
        header: names of the columns.
        rows: cells: strings, numbers, or None where there is nothing to say.
        numbers: the main numbers, by name.
        figure: what to draw; None for a table alone.
        warnings: what a reader should know before trusting the fusion.
    """

    name: str
    title: str
    reading: str
    header: Sequence[str]
    rows: Sequence[Sequence[Json]]
    numbers: Mapping[str, Json] = attrs.field(factory=dict)
    figure: Figure | None = None
    warnings: Sequence[str] = ()

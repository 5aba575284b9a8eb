"""Pictures of results: what is to be seen, and who draws it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeAlias

import attrs
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@attrs.frozen(eq=False)
class Bars:
    """One group of bars.

    Attributes:
        values: (names,), how long each bar is; NaN for none.
        low: (names,) lower ends of the bars' intervals; None without.
        high: (names,) upper ends.
    """

    values: Floats
    low: Floats | None = None
    high: Floats | None = None


@attrs.frozen(eq=False)
class BarChart:
    """Horizontal bars, one or several beside each name.

    Attributes:
        title: above the chart.
        axis: what the length of a bar is.
        names: from top to bottom.
        groups: by what the legend calls them; a single group needs no legend.
        logarithmic: whether lengths are on a logarithmic scale.
    """

    title: str
    axis: str
    names: Sequence[str]
    groups: Mapping[str, Bars]
    logarithmic: bool = False


@attrs.frozen(eq=False)
class Heatmap:
    """A matrix as coloured cells.

    Attributes:
        title: above the chart.
        row_axis: what the rows are.
        column_axis: what the columns are.
        rows: names of the rows, from top to bottom.
        columns: names of the columns.
        values: (rows, columns), 0 to 1; NaN is left blank.
    """

    title: str
    row_axis: str
    column_axis: str
    rows: Sequence[str]
    columns: Sequence[str]
    values: Floats


@attrs.frozen(eq=False)
class ReliabilityDiagram:
    """Accuracy beside confidence in equal-width bins, and how many rows each bin holds.

    Attributes:
        title: above the chart.
        rows: (bins,) rows in a bin.
        confidence: (bins,) mean confidence; NaN in an empty bin.
        accuracy: (bins,) share that is right; NaN in an empty bin.
    """

    title: str
    rows: NDArray[np.int64]
    confidence: Floats
    accuracy: Floats


@attrs.frozen(eq=False)
class CurveChart:
    """Points, joined where they are settings of one thing, and single ones with their names beside them.

    Attributes:
        title: above the chart.
        x_axis: what is on the horizontal axis.
        y_axis: what is on the vertical one.
        curves: by what the legend calls them: (points, 2), x ascending.
        points: by name: (x, y).
    """

    title: str
    x_axis: str
    y_axis: str
    curves: Mapping[str, Floats]
    points: Mapping[str, tuple[float, float]]


Figure: TypeAlias = BarChart | Heatmap | ReliabilityDiagram | CurveChart


class Charts(Protocol):
    """Draws figures."""

    def draw(self, figure: Figure) -> str:
        """A figure as an SVG document in UTF-8; the same figure gives the same text.

        Names may hold any character; what XML cannot hold is replaced.
        """

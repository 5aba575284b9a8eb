"""Charts that only say what is to be seen."""

from __future__ import annotations

from xml.sax.saxutils import escape

from fusionapp.application.ports.charts import BarChart, Charts, CurveChart, Figure, Heatmap


class ListingCharts(Charts):
    """Lists a figure's words as SVG text, and keeps every figure.

    Attributes:
        drawn: figures in the order drawn.
    """

    def __init__(self) -> None:
        self.drawn: list[Figure] = []

    def draw(self, figure: Figure) -> str:
        self.drawn.append(figure)
        words = [figure.title]
        if isinstance(figure, BarChart):
            words += [figure.axis, *figure.names, *figure.groups]
        if isinstance(figure, Heatmap):
            words += [figure.row_axis, figure.column_axis, *figure.rows, *figure.columns]
        if isinstance(figure, CurveChart):
            words += [figure.x_axis, figure.y_axis, *figure.curves, *figure.points]
        shown = "".join(c if c.isprintable() else "?" for c in "|".join(words))
        return f'<svg xmlns="http://www.w3.org/2000/svg"><text>{escape(shown)}</text></svg>'

"""SVG charts by matplotlib, without a display and without its global state."""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from typing import TYPE_CHECKING, Any

import numpy as np

from fusionapp.application.ports.charts import (
    BarChart,
    Charts,
    CurveChart,
    Figure,
    Heatmap,
    ReliabilityDiagram,
)
from fusionapp.domain.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7")
"""Of Okabe and Ito (2008), told apart with any kind of colour vision."""
_LONGEST_NAME = 32
_INCHES_A_NAME = 0.24
_INCHES_A_NUMBER = 0.38
_INCHES_A_LETTER = 0.08
_MOST_NUMBERED = 24
"""Columns up to which a heatmap's cells carry their numbers."""
_STYLE: Any = {
    "svg.hashsalt": "fusionapp",
    "svg.fonttype": "none",  # text stays text: it can be searched, and a viewer has glyphs that we lack
    "font.family": ["sans-serif"],
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.parse_math": False,  # a class may be called "$5"
    "text.usetex": False,
    "axes.unicode_minus": False,
}


class MatplotlibCharts(Charts):
    """Draws with matplotlib."""

    def __init__(self) -> None:
        """Look for matplotlib.

        Raises:
            UsageError: it is not installed.
        """
        try:
            import matplotlib.backends.backend_svg  # noqa: F401  # loaded now, so that its absence shows now
        except ImportError as error:
            raise UsageError(
                "charts need the extra `charts` of fusionapp; install it, or do without"
            ) from error

    def draw(self, figure: Figure) -> str:
        """See `Charts.draw`."""
        with _styled():
            if isinstance(figure, BarChart):
                return _svg(_bars(figure))
            if isinstance(figure, Heatmap):
                return _svg(_heatmap(figure))
            if isinstance(figure, CurveChart):
                return _svg(_curves(figure))
            return _svg(_reliability(figure))


@contextmanager
def _styled() -> Iterator[None]:
    import matplotlib

    with matplotlib.rc_context(), warnings.catch_warnings():
        # Whatever a user's matplotlibrc says, the same figure is the same text.
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        # Widths are measured with a font that may lack a glyph; the viewer's fonts draw it.
        warnings.filterwarnings("ignore", message=".*Glyph.*missing from.*font", category=UserWarning)
        yield


def _canvas(width: float, height: float) -> tuple[Canvas, Axes]:
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(width, height), layout="constrained")
    return canvas, canvas.add_subplot()


def _svg(canvas: Canvas) -> str:
    buffer = StringIO()
    canvas.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def _bars(chart: BarChart) -> Canvas:
    groups = max(1, len(chart.groups))
    canvas, axes = _canvas(7.0, 1.2 + _INCHES_A_NAME * len(chart.names) * (1 + 0.5 * (groups - 1)))
    places, thickness = np.arange(len(chart.names)), 0.8 / groups
    for position, (label, bars) in enumerate(chart.groups.items()):
        offset = (position - (groups - 1) / 2) * thickness
        errors = None
        if bars.low is not None and bars.high is not None:
            errors = np.nan_to_num(np.maximum([bars.values - bars.low, bars.high - bars.values], 0))
        axes.barh(
            places + offset,
            np.nan_to_num(bars.values),
            height=thickness * 0.9,
            xerr=errors,
            color=_COLOURS[position % len(_COLOURS)],
            error_kw={"elinewidth": 1, "capsize": 2},
            label=_printable(label),
        )
    if chart.logarithmic:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")  # the usual one writes TeX
    axes.set_yticks(places, _names(chart.names))
    axes.set_ylim(len(chart.names) - 0.5, -0.5)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_xlabel(_printable(chart.axis))
    axes.set_title(_printable(chart.title))
    if groups > 1:
        axes.legend(frameon=False)
    return canvas


def _heatmap(chart: Heatmap) -> Canvas:
    rows, columns = len(chart.rows), len(chart.columns)
    numbered = columns <= _MOST_NUMBERED
    width = columns * (_INCHES_A_NUMBER if numbered else _INCHES_A_NAME)
    beside, below = (_INCHES_A_LETTER * max(map(len, _names(side))) for side in (chart.rows, chart.columns))
    canvas, axes = _canvas(max(5.0, 2.2 + beside + width), 1.2 + below + rows * _INCHES_A_NAME)
    top = float(np.nanmax(chart.values)) if np.isfinite(chart.values).any() else 1.0
    # One scale for all charts of shares, unless all is so small that nothing would be seen.
    top = 1.0 if top > 0.5 else top or 1.0
    image = axes.imshow(chart.values, cmap="cividis", vmin=0.0, vmax=top, aspect="auto")
    axes.set_xticks(np.arange(columns), _names(chart.columns), rotation=90)
    axes.set_yticks(np.arange(rows), _names(chart.rows))
    axes.set_xlabel(_printable(chart.column_axis))
    axes.set_ylabel(_printable(chart.row_axis))
    canvas.suptitle(_printable(chart.title), fontsize=10)  # a few columns are narrower than their title
    if numbered:
        _number(axes, chart.values, middle=top / 2)
    canvas.colorbar(image, ax=axes, shrink=0.6)
    return canvas


def _number(axes: Axes, values: np.ndarray[Any, Any], middle: float) -> None:
    for row, column in np.argwhere(np.isfinite(values)):
        value = values[row, column]
        colour = "white" if value < middle else "black"
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color=colour)


def _reliability(chart: ReliabilityDiagram) -> Canvas:
    canvas, axes = _canvas(5.0, 4.5)
    bins = len(chart.rows)
    middles = (np.arange(bins) + 0.5) / bins
    axes.bar(middles, np.nan_to_num(chart.accuracy), width=0.9 / bins, color=_COLOURS[0], label="accuracy")
    axes.plot([0, 1], [0, 1], color="black", linestyle="--", linewidth=1, label="as sure as right")
    axes.scatter(chart.confidence, chart.accuracy, color=_COLOURS[1], s=14, zorder=3, label="mean confidence")
    for middle, rows, accuracy in zip(middles, chart.rows, np.nan_to_num(chart.accuracy), strict=True):
        if rows:
            axes.annotate(
                str(rows), (middle, accuracy), (0, 3), textcoords="offset points", ha="center", size=6
            )
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.05)
    axes.set_xlabel("confidence (highest probability)")
    axes.set_ylabel("accuracy; above each bar its rows")
    axes.set_title(_printable(chart.title))
    axes.legend(frameon=False, loc="upper left")
    return canvas


def _curves(chart: CurveChart) -> Canvas:
    canvas, axes = _canvas(7.0, 5.0)
    for position, (label, curve) in enumerate(chart.curves.items()):
        colour = _COLOURS[position % len(_COLOURS)]
        style = "-" if position < len(_COLOURS) else "--"
        axes.plot(
            curve[:, 0], curve[:, 1], style, color=colour, marker=".", label=_printable(label, _LONGEST_NAME)
        )
    for name, (x, y) in chart.points.items():
        axes.scatter([x], [y], color="black", s=14, zorder=3)
        axes.annotate(_printable(name, _LONGEST_NAME), (x, y), (4, 3), textcoords="offset points", size=7)
    axes.set_xlabel(_printable(chart.x_axis))
    axes.set_ylabel(_printable(chart.y_axis))
    axes.set_title(_printable(chart.title))
    if chart.curves:
        axes.legend(frameon=False)
    return canvas


def _names(names: Sequence[str]) -> list[str]:
    return [_printable(name, _LONGEST_NAME) for name in names]


def _printable(text: str, longest: int = 200) -> str:
    """One line that XML can hold: no control character, no surrogate, and not too long."""
    plain = "".join(c if unicodedata.category(c)[0] != "C" else "\N{REPLACEMENT CHARACTER}" for c in text)
    return plain if len(plain) <= longest else plain[: longest - 1] + "…"

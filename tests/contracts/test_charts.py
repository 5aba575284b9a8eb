"""What every drawer of charts promises."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest
from fakes.charts import ListingCharts

from fusionapp.adapters.charts.matplotlib_charts import MatplotlibCharts
from fusionapp.application.ports.charts import (
    BarChart,
    Bars,
    Charts,
    CurveChart,
    Figure,
    Heatmap,
    ReliabilityDiagram,
)

NAMES = ["joy", '<b>"&"</b>', "$x_1$", "a\x00\n\ud800b", "笑い", "long " * 40]
NAN = float("nan")


def bars(values: list[float]) -> Bars:
    array = np.array(values)
    return Bars(array, array - 0.1, array + 0.1)


FIGURES: dict[str, Figure] = {
    "bars": BarChart("Bars", "drop", ["a", "b"], {"only": bars([0.1, -0.2])}),
    "grouped bars": BarChart("Two", "drop", ["a", "b"], {"one": bars([0.1, NAN]), "two": bars([0.3, 0.0])}),
    "logarithmic bars": BarChart("Log", "length", ["a", "b"], {"": Bars(np.array([1e-6, 1.0]))}, True),
    "odd names": BarChart("Odd $&<", "<$&", NAMES, {"$<&": bars([0.1] * 6), "other": bars([0.2] * 6)}),
    "heatmap": Heatmap("Map", "true", "said", NAMES, NAMES, np.eye(6)),
    "heatmap with holes": Heatmap("Map", "true", "said", ["a", "b"], ["c"], np.array([[NAN], [0.2]])),
    "empty heatmap": Heatmap("Map", "true", "said", ["a"], ["c"], np.array([[NAN]])),
    "wide heatmap": Heatmap(
        "Map", "true", "said", [*map(str, range(30))], [*map(str, range(30))], np.eye(30)
    ),
    "curves": CurveChart(
        "Odd $&<",
        "<$&",
        "quality",
        {"$<&": np.array([[0.0, 0.1], [1.0, 0.2]])},
        dict.fromkeys(NAMES, (0.5, 0.1)),
    ),
    "one point": CurveChart("One", "cost", "quality", {"still": np.array([[0.0, 0.1]])}, {}),
    "no points": CurveChart("None", "cost", "quality", {}, {}),
    "reliability": ReliabilityDiagram("Sure", np.array([0, 3]), np.array([NAN, 0.8]), np.array([NAN, 0.7])),
}


@pytest.fixture(params=[MatplotlibCharts, ListingCharts], name="charts")
def _charts(request: pytest.FixtureRequest) -> Charts:
    drawer: Charts = request.param()
    return drawer


def words(svg: str) -> str:
    return "|".join(ElementTree.fromstring(svg).itertext())  # what we have just drawn


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_well_formed_svg(charts: Charts, name: str) -> None:
    root = ElementTree.fromstring(charts.draw(FIGURES[name]))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"


@pytest.mark.parametrize("name", FIGURES)
def test_the_same_figure_gives_the_same_text(charts: Charts, name: str) -> None:
    assert charts.draw(FIGURES[name]) == charts.draw(FIGURES[name])


@pytest.mark.parametrize("figure", ["odd names", "curves"])
def test_names_and_axes_can_be_read_as_they_are_written(charts: Charts, figure: str) -> None:
    shown = words(charts.draw(FIGURES[figure]))
    for name in ("joy", '<b>"&"</b>', "$x_1$", "笑い", "Odd $&<", "$<&"):
        assert name in shown


def test_a_figure_can_be_stored_as_utf_8(charts: Charts) -> None:
    assert charts.draw(FIGURES["heatmap"]).encode()

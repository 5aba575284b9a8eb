"""Matplotlib's charts: what a user's settings change, and what is said where matplotlib is not there."""

from __future__ import annotations

import sys
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest

from fusionapp.adapters.charts.matplotlib_charts import MatplotlibCharts
from fusionapp.application.ports.charts import BarChart, Bars, Heatmap
from fusionapp.domain.errors import UsageError

CHART = BarChart("Title", "axis", ["a", "b"], {"": Bars(np.array([1.0, 2.0]))})


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match="extra `charts`"):
        MatplotlibCharts()


def test_a_user_s_own_settings_change_no_chart() -> None:
    before = MatplotlibCharts().draw(CHART)
    with matplotlib.rc_context({"font.size": 30, "svg.fonttype": "path"}):
        assert MatplotlibCharts().draw(CHART) == before


def test_drawing_leaves_matplotlib_s_settings_alone() -> None:
    before = dict(matplotlib.rcParams)
    MatplotlibCharts().draw(CHART)
    assert dict(matplotlib.rcParams) == before


def test_bars_are_as_long_as_their_values() -> None:
    svg = ElementTree.fromstring(MatplotlibCharts().draw(CHART))

    blue = [
        path.get("d", "").split()
        for path in svg.iter("{http://www.w3.org/2000/svg}path")
        if "#0072b2" in path.get("style", "")
    ]

    first, second = (float(points[4]) - float(points[1]) for points in blue)
    assert second / first == pytest.approx(2.0, rel=1e-4)


def test_small_heatmaps_carry_their_numbers_and_large_ones_do_not() -> None:
    def shown(size: int) -> str:
        names = [f"class {i}" for i in range(size)]
        svg = MatplotlibCharts().draw(Heatmap("Map", "r", "c", names, names, np.full((size, size), 0.37)))
        return "|".join(ElementTree.fromstring(svg).itertext())

    assert shown(3).count("0.37") == 9
    assert "0.37" not in shown(30)

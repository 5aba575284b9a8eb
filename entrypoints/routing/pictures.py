"""The cost-quality picture of an evaluation."""

from __future__ import annotations

import numpy as np

from fusionapp.application.ports.charts import CurveChart
from fusionapp.application.services.evaluate_router import RouterEvaluation

DRAWN = ("ensemble of seeds", "ridge", "knn", "prompt blind")
"""Whose settings are drawn as a curve."""


def cost_quality_picture(evaluation: RouterEvaluation) -> CurveChart | None:
    """Mean cost and quality of the routers at each trade-off, and of every single model; None without prices."""
    if not evaluation.curves:
        return None
    singles = {
        row.name.removeprefix("always "): (1000 * row.cost, row.metrics["quality"].mean)
        for row in evaluation.leaderboard
        if row.name.startswith("always ") and row.cost is not None
    }
    return CurveChart(
        title=f"{evaluation.split}: {evaluation.prompts:,} prompts, {len(evaluation.models)} models",
        x_axis="mean cost, USD per 1,000 prompts",
        y_axis="mean quality of the chosen answer",
        curves={
            name: np.array([(1000 * cost, quality) for cost, quality in evaluation.curves[name]])
            for name in DRAWN
            if name in evaluation.curves
        },
        points=singles,
    )

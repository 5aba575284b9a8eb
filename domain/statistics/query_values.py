"""What a ranking metric's values for each query are worth, and how two rankings of the same queries compare."""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.errors import UsageError
from fusionapp.domain.scores import Summary, deviation
from fusionapp.domain.statistics.bootstrap import (
    DRAWS,
    Difference,
    Replicates,
    bootstrap_mean,
    interval,
    paired_difference,
)


@attrs.frozen(eq=False)
class JudgedValues:
    """A metric with its interval.

    Attributes:
        summary: mean over runs and queries, deviation of the runs' means, 95 % interval over queries.
        replicates: (draws,) of the mean, which pair with those of the same number of queries, draws and seed.
    """

    summary: Summary
    replicates: Replicates


def judge_values(values: NDArray[np.floating], draws: int = DRAWS, seed: int = 0) -> JudgedValues:
    """Bootstrap over queries (Efron and Tibshirani 1993).

    Args:
        values: (queries,) of one run, or (runs, queries).
        draws: how many resamples.
        seed: of the draws.

    Raises:
        UsageError: no queries, or a value that is not finite.
    """
    runs = np.atleast_2d(np.asarray(values, dtype=np.float64))
    if not np.isfinite(runs).all():
        where = np.argwhere(~np.isfinite(runs))[0, 1]
        raise UsageError(f"bootstrap: the value of query {where} is not a finite number")
    replicates = bootstrap_mean(runs, draws, seed)
    bounds = interval(replicates)
    means = runs.mean(axis=1)
    return JudgedValues(Summary(float(means.mean()), deviation(means), bounds.low, bounds.high), replicates)


def compare_values(first: JudgedValues, second: JudgedValues) -> Difference:
    """How far the first stands above the second, over the same queries.

    Raises:
        UsageError: different numbers of draws.
    """
    return paired_difference(first.replicates, second.replicates, first.summary.mean, second.summary.mean)

"""Whether settings that came out best of many are better than the ones they were held against."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.statistics.bootstrap import Replicates


def gain_error(
    first: NDArray[np.float64], second: NDArray[np.float64], resampled: tuple[Replicates, Replicates]
) -> float:
    """The standard error of mean(second) - mean(first), over seeds and over the rows that scored them.

    Rows are paired, so what both get right or wrong cancels; seeds are not.

    Args:
        first: (seeds,) scores of one.
        second: (seeds,) scores of the other.
        resampled: bootstrap replicates of both means over the same resampled rows, (draws,) each.

    Returns:
        sqrt(var of the replicates' difference + var(first) / seeds + var(second) / seeds), 0 or more.
    """
    over_rows = float((resampled[1] - resampled[0]).var(ddof=1))
    over_seeds = sum(float(one.var(ddof=1)) / len(one) for one in (first, second) if len(one) > 1)
    return float(np.sqrt(over_rows + over_seeds))

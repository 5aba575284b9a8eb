"""Bootstrap of means over units that have one value each: queries, prompts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.errors import UsageError
from fusionapp.domain.statistics.bootstrap import Replicates

_COUNTS_AT_ONCE = 2**24


def bootstrap_means(
    values: Mapping[str, NDArray[np.float64]], draws: int, seed: int = 0
) -> dict[str, Replicates]:
    """Means of each kind of value over units drawn with replacement (Efron 1979).

    The same number of units, draws and seed draws the same units, so that replicates of two contenders over the
    same units are paired.

    Args:
        values: by name, (units,) each.
        draws: how many.
        seed: of the draws.

    Returns:
        By name, (draws,) float64.

    Raises:
        UsageError: there is no unit, or names have different numbers of them.
    """
    sizes = {len(each) for each in values.values()}
    if len(sizes) != 1 or 0 in sizes:
        raise UsageError(
            f"bootstrap: values of {sorted(sizes)} units are not paired; give all of them the same"
        )
    units = sizes.pop()
    table = np.stack(list(values.values()), axis=1)
    random = np.random.default_rng(seed)
    block = max(1, _COUNTS_AT_ONCE // units)
    means = []
    for start in range(0, draws, block):
        drawn = random.integers(units, size=(min(block, draws - start), units))
        codes = drawn + np.arange(len(drawn))[:, None] * units
        counts = np.bincount(codes.ravel(), minlength=len(drawn) * units).reshape(len(drawn), units)
        means.append(counts.astype(np.float64) @ table / units)
    replicates = np.concatenate(means)
    return {name: replicates[:, column] for column, name in enumerate(values)}

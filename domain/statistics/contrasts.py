"""Many paired comparisons over the same rows, with p-values small enough to correct for their number."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.statistics.bootstrap import (
    DRAWS,
    Difference,
    Replicates,
    paired_difference,
    resample_weights,
)
from fusionapp.domain.statistics.sign_flips import differing_units, least_p_value


def contrasts(
    scores: NDArray[np.floating],
    pairs: Sequence[tuple[int, int]],
    draws: int = DRAWS,
    seed: int = 0,
) -> list[Difference]:
    """The mean of one contender less another's, for each pair, by one paired bootstrap over the rows.

    Args:
        scores: (contenders, rows) per-example scores, such as the share of seeds that were right.
        pairs: positions of the two contenders.
        draws: how many resamples.
        seed: of the draws.

    Returns:
        A difference a pair; its p-value is that of `paired_difference`, its tail continued by `tail_p_value` as
        far as `least_p_value` allows.

    Raises:
        UsageError: no rows.
    """
    columns = np.asarray(scores, dtype=np.float64).T
    parts = [weights @ columns for weights in resample_weights(len(columns), draws, seed)]
    # Shares of seeds are no binary fractions: unrounded, a tie would fall on either side of 0 by chance.
    replicates = np.round(np.concatenate(parts).T / len(columns), 12)
    means = columns.mean(axis=0)
    found = []
    for first, second in pairs:
        differing = differing_units(columns[:, first], columns[:, second])
        difference = paired_difference(
            replicates[first], replicates[second], float(means[first]), float(means[second]), differing
        )
        p_value = tail_p_value(difference, replicates[first] - replicates[second])
        found.append(attrs.evolve(difference, p_value=max(p_value, least_p_value(differing))))
    return found


def tail_p_value(difference: Difference, replicates: Replicates) -> float:
    """The p-value of a difference, or less where no draw fell on the other side of 0.

    Draws alone cannot say less than 2 / (draws + 1), which Holm's correction for a few hundred comparisons takes
    above any level. Where they are exhausted, the tail is continued by the normal distribution with the
    bootstrap's standard error (Efron and Tibshirani 1993, chapter 12).

    Args:
        difference: of two means.
        replicates: (draws,) of that difference.
    """
    from scipy.special import ndtr

    if not ((replicates > 0).all() or (replicates < 0).all()):
        return difference.p_value
    error = float(replicates.std(ddof=1))
    if error == 0:  # every draw is alike, as where all rows are: there is no tail to continue
        return difference.p_value
    return min(difference.p_value, float(2 * ndtr(-abs(difference.estimate) / error)))

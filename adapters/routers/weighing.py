"""How much each of several estimates says of what none of them saw."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.optimize import nnls

from fusionapp.adapters.routers.directions import find_directions
from fusionapp.adapters.routers.ridge import Wide

_PRIOR = 0.1
"""How much weights are drawn to those of a plain mean, as a share of what an estimate varies by: weights of alike
estimates are poorly told apart, and those of one that says next to nothing not at all."""


def weigh(left_out: Mapping[str, Wide], target: Wide) -> dict[str, Wide]:
    """What each estimate is multiplied by, so that their sum has the least squared error on rows left out.

    Breiman's stacked regressions (1996), in each of `find_directions` by itself: non-negative weights, drawn to
    those of a plain mean. They need not sum to 1: every estimate is shrunk to the mean quality for its own sake,
    and together they deserve less of that.

    Args:
        left_out: (prompts, models) by estimate, each by weights that did not see the row.
        target: (prompts, models) centred qualities; NaN where unknown.

    Returns:
        A matrix (models, models) for each estimate, to multiply it by on the right: its weights in all directions,
        turned back to models.
    """
    matrices = {name: np.zeros((target.shape[1],) * 2) for name in left_out}
    for group in find_directions(target):
        aims = group.of(target)
        told = np.stack([group.of(part) for part in left_out.values()], axis=-1)
        weights = np.stack([_weights(told[:, one], aims[:, one]) for one in range(aims.shape[1])])
        for matrix, weight in zip(matrices.values(), weights.T, strict=True):
            matrix[np.ix_(group.models, group.models)] = (group.axes * weight) @ group.axes.T
    return matrices


def _weights(told: Wide, aim: Wide) -> Wide:
    """(estimates,) weights, none negative, by which (rows, estimates) come nearest to (rows,)."""
    count = told.shape[1]
    prior = _PRIOR * np.square(told).sum() / count
    drawn = np.vstack([told, np.sqrt(prior) * np.eye(count)])
    found, _ = nnls(drawn, np.append(aim, np.full(count, np.sqrt(prior) / count)))
    return found


def mixture(told: Mapping[str, Wide], weights: Mapping[str, Wide]) -> Wide:
    """(prompts, models): the sum of estimates, each times the matrix of its name."""
    total: Wide = np.sum([told[name] @ matrix for name, matrix in weights.items()], axis=0)
    return total

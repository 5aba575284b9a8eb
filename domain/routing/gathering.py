"""Answers that came one by one, gathered into matrices."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


def mean_by_cell(
    prompts: Rows, models: Rows, values: NDArray[np.float64], shape: tuple[int, int]
) -> NDArray[np.float64]:
    """A matrix of means.

    Args:
        prompts: (answers,) the row of each.
        models: (answers,) the column of each.
        values: (answers,) NaN where unknown.
        shape: (prompts, models).

    Returns:
        shape float64: the mean of what is known of each cell; NaN where nothing is. Where nothing is known at all,
        it is read-only and takes no memory: battles alone come with many models.
    """
    known = np.isfinite(values)
    if not known.any():
        return np.broadcast_to(np.float64(np.nan), shape)
    cells = (prompts * shape[1] + models)[known]
    size = shape[0] * shape[1]
    counts = np.bincount(cells, minlength=size)
    sums = np.bincount(cells, weights=values[known], minlength=size)
    means: NDArray[np.float64] = np.full(size, np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    return means.reshape(shape)


def count_repeats(prompts: Rows, models: Rows, columns: int) -> int:
    """How many answers have the prompt and the model of an earlier one."""
    return len(prompts) - len(np.unique(prompts * columns + models))

"""Scores of rows by models that did not see them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fusionapp.adapters.linear.solver import Solver
from fusionapp.application.ports.progress import ProgressTask


def score_out_of_fold(
    solver_of: Callable[[NDArray[np.int64]], Solver],
    classes: int,
    labels: NDArray[np.int64],
    fold: NDArray[np.int64],
    cost: float,
    tolerance: float,
    bar: ProgressTask,
) -> NDArray[np.float32]:
    """(rows, classes) scores, each row's by a model of the rows of the other folds, all at one C.

    Rows are left out by their labels, not by copies of the embeddings.

    Args:
        solver_of: from labels, -1 where a row is left out, to what fits them.
        classes: how many.
        labels: (rows,).
        fold: (rows,) in [0, folds).
        cost: C.
        tolerance: as `newton.minimize`.
        bar: told of each fold.
    """
    scores = np.empty((len(labels), classes), dtype=np.float32)
    for part in range(int(fold.max()) + 1):
        solver = solver_of(np.where(fold == part, -1, labels))
        found = solver.design.scores(solver(cost, tolerance))
        scores[fold == part] = found[fold == part]
        bar.advance(1)
    return scores

"""Scores of rows by models that did not see them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fusionapp.adapters.linear.choice import loss_of, problem_of
from fusionapp.adapters.linear.newton import minimize
from fusionapp.adapters.linear.preconditioner import Preconditioner
from fusionapp.application.ports.linear_control import LinearKind
from fusionapp.application.ports.progress import ProgressTask
from fusionapp.domain.linear import Design, Matrix


def score_out_of_fold(
    kind: LinearKind,
    classes: int,
    train: tuple[Design, NDArray[np.int64]],
    fold: NDArray[np.int64],
    preconditioner: Preconditioner,
    ridge: Callable[[NDArray[np.int64]], Matrix],
    cost: float,
    tolerance: float,
    bar: ProgressTask,
) -> NDArray[np.float32]:
    """(rows, classes) scores, each row's by a model of the rows of the other folds, all at one C.

    Rows are left out by their labels, not by copies of the embeddings.

    Args:
        kind: which linear model.
        classes: how many.
        train: the rows and their labels (rows,).
        fold: (rows,) in [0, folds).
        preconditioner: of the design; it changes how fast a solution is found, not which.
        ridge: from labels, -1 where a row is left out, to `LinearProblem.ridge`.
        cost: C.
        tolerance: as `minimize`.
        bar: told of each fold.
    """
    design, labels = train
    scores = np.empty((len(labels), classes), dtype=np.float32)
    start = np.zeros((design.dim, classes), dtype=np.float32)
    for part in range(int(fold.max()) + 1):
        others = np.where(fold == part, -1, labels)
        problem = problem_of(design, loss_of(kind, others, classes), cost, ridge(others))
        found = design.scores(minimize(problem, start, preconditioner, tolerance))
        scores[fold == part] = found[fold == part]
        bar.advance(1)
    return scores

"""Scores of rows by models that did not see them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fusionapp.adapters.linear.equal_rows import equal_rows
from fusionapp.adapters.linear.solver import Solver
from fusionapp.application.ports.heads import LabelledEmbeddings
from fusionapp.application.ports.progress import ProgressTask
from fusionapp.domain.splitting import grouped_folds


def deal_folds(train: LabelledEmbeddings, folds: int, seed: int) -> NDArray[np.int64]:
    """(rows,) int64, the fold of each row.

    Rows that are alike share one, or they would be scored by a model that saw them. Fewer distinct rows than
    `folds` have a fold each.
    """
    groups = equal_rows(train.sources, len(train.labels))
    folds = min(folds, len(np.unique(groups)))
    if folds < 2:  # sources without a cell, say: there is nothing to leave out
        return np.zeros(len(train.labels), dtype=np.int64)
    return grouped_folds(train.labels, groups, folds, seed)


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

    Rows are left out by their labels, not by copies of the embeddings. A row of a class that no other fold holds
    has scores of 0, which say nothing.

    Args:
        solver_of: from labels, -1 where a row is left out, to what fits them.
        classes: how many.
        labels: (rows,).
        fold: (rows,) in [0, folds).
        cost: C.
        tolerance: as `newton.minimize`.
        bar: told of each fold.
    """
    scores = np.zeros((len(labels), classes), dtype=np.float32)
    for part in range(int(fold.max()) + 1):
        if (fold == part).all():
            break
        solver = solver_of(np.where(fold == part, -1, labels))
        found = solver.design.scores(solver(cost, tolerance))
        scores[fold == part] = found[fold == part]
        # A class that no other fold holds was never shown to the model, whose scores of its rows are all wrong.
        scores[(fold == part) & ~np.isin(labels, labels[fold != part])] = 0
        bar.advance(1)
    return scores

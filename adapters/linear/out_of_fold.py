"""Scores of rows by models that did not see them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fusionapp.adapters.linear.choice import loss_of, problem_of
from fusionapp.adapters.linear.newton import minimize
from fusionapp.adapters.linear.preconditioner import Preconditioner
from fusionapp.application.ports.linear_control import LinearKind
from fusionapp.application.ports.progress import ProgressTask
from fusionapp.domain.linear import Design, Loss, SquaredHinge

_MOST_NUMBERS = 2**25
"""In one matrix of the solver, which keeps about ten: folds are fitted side by side as far as this allows."""


def score_out_of_fold(
    kind: LinearKind,
    classes: int,
    train: tuple[Design, NDArray[np.int64]],
    fold: NDArray[np.int64],
    preconditioner: Preconditioner,
    cost: float,
    tolerance: float,
    bar: ProgressTask,
) -> NDArray[np.float32]:
    """(rows, classes) scores, each row's by a model of the rows of the other folds, all at one C.

    Rows are left out by their labels, not by copies of the embeddings, so one pass over them serves the models
    of several folds.

    Args:
        kind: which linear model.
        classes: how many.
        train: the rows and their labels (rows,).
        fold: (rows,) in [0, folds).
        preconditioner: of the design; it changes how fast a solution is found, not which.
        cost: C.
        tolerance: as `minimize`.
        bar: told of each fold.
    """
    design, labels = train
    scores = np.empty((len(labels), classes), dtype=np.float32)
    parts = np.arange(fold.max() + 1)
    size = (design.dim + len(labels)) * classes
    together = max(1, _MOST_NUMBERS // size) if kind == "linear_svm" else 1
    for start in range(0, len(parts), together):
        group = parts[start : start + together]
        losses = [loss_of(kind, np.where(fold == part, -1, labels), classes) for part in group]
        problem = problem_of(design, _side_by_side(losses), cost)
        empty = np.zeros((design.dim, classes * len(group)), dtype=np.float32)
        found = design.scores(minimize(problem, empty, preconditioner, tolerance))
        for place, part in enumerate(group):
            rows = fold == part
            scores[rows] = found[rows, place * classes : (place + 1) * classes]
        bar.advance(len(group))
    return scores


def _side_by_side(losses: list[Loss]) -> Loss:
    hinges = [loss.signs for loss in losses if isinstance(loss, SquaredHinge)]
    return SquaredHinge(np.concatenate(hinges, axis=1)) if hinges else losses[0]

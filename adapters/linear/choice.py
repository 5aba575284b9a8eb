"""Choosing C on validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.adapters.linear.newton import minimize
from fusionapp.adapters.linear.preconditioner import Preconditioner
from fusionapp.application.ports.linear_control import LinearKind
from fusionapp.application.ports.progress import ProgressTask
from fusionapp.domain.errors import UsageError
from fusionapp.domain.linear import Design, LinearProblem, Loss, Matrix, Multinomial, SquaredHinge
from fusionapp.domain.metrics import accuracy


@attrs.frozen(eq=False)
class Choice:
    """The model of the best C.

    Attributes:
        cost: the C.
        tried: validation accuracy of each C fitted.
        weights: (dim, classes).
        validation: (rows, classes) scores.
    """

    cost: float
    tried: Mapping[float, float]
    weights: Matrix
    validation: Matrix


def choose_cost(
    kind: LinearKind,
    classes: int,
    train: tuple[Design, NDArray[np.int64]],
    validation: tuple[Design, NDArray[np.int64]],
    preconditioner: Preconditioner,
    costs: Sequence[float],
    tolerance: float,
    bar: ProgressTask,
    ridge: Matrix | None = None,
    falls: int = 2,
) -> Choice:
    """Fit from the smallest C up, each from the last one's solution; of equal accuracies the smallest C.

    Costs without a better validation accuracy, `falls` of them in a row, end the search: larger ones are dearer.

    Raises:
        UsageError: no C, or a C that is not above 0.
    """
    if not costs or min(costs) <= 0:
        raise UsageError(f"linear model: C must be above 0, got {list(costs)}; try 0.1, 0.3, 1, 3, 10")
    (design, labels), (held_out, held_out_labels) = train, validation
    loss = loss_of(kind, labels, classes)
    weights = np.zeros((design.dim, classes), dtype=np.float32)
    tried: dict[float, float] = {}
    best: Choice | None = None
    grid = sorted(set(costs))
    for place, cost in enumerate(grid):
        weights = minimize(problem_of(design, loss, cost, ridge), weights, preconditioner, tolerance)
        scores = held_out.scores(weights)
        tried[cost] = accuracy(held_out_labels, scores.argmax(1))
        if best is None or tried[cost] > tried[best.cost]:
            best = Choice(cost, tried, weights, scores)
        elif place - grid.index(best.cost) >= falls:
            bar.advance(len(grid) - place)
            break
        bar.advance(1)
    assert best is not None
    return best


def loss_of(kind: LinearKind, labels: NDArray[np.int64], classes: int) -> Loss:
    """The loss that a kind of model minimises, float32."""
    return SquaredHinge.of(labels, classes) if kind == "linear_svm" else Multinomial.of(labels, classes)


def problem_of(design: Design, loss: Loss, cost: float, ridge: Matrix | None = None) -> LinearProblem:
    """What scikit-learn would minimise at this C.

    With two classes its LogisticRegression fits one weight vector, whose square is twice the two's.
    """
    halved = isinstance(loss, Multinomial) and loss.targets.shape[1] == 2
    scaled = cost / 2 if halved else cost
    return (
        LinearProblem(design, loss, scaled) if ridge is None else LinearProblem(design, loss, scaled, ridge)
    )

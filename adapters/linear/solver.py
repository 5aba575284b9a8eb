"""Which way a linear model's weights are found."""

from __future__ import annotations

from functools import cached_property
from typing import Protocol

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.adapters.linear.gram import gram_matrix
from fusionapp.adapters.linear.kernel import fit_by_kernel, largest_cost
from fusionapp.adapters.linear.newton import minimize
from fusionapp.adapters.linear.preconditioner import Preconditioner
from fusionapp.application.ports.linear_control import LinearKind
from fusionapp.domain.linear import Design, LinearProblem, Loss, Matrix, Multinomial, SquaredHinge

_MOST_KERNEL_ROWS = 16384
"""Rows whose inner products fill 1 GiB."""
_KERNEL_WORK = 8000
"""Squared rows, over the numbers in one, up to which inner products are the quicker way. Reuters-52 (5,226 rows of
3,465 dense and sparse numbers): 16 s for the first C and under 1 s for each of the others, against 40 to 55 s."""
_SPARSE_WORK = 5
"""Dense products that one with a sparse cell takes as long as."""


class Solver(Protocol):
    """Fits one design to one set of labels."""

    @property
    def design(self) -> Design:
        """The rows."""

    def __call__(self, cost: float, tolerance: float, start: Matrix | None = None) -> Matrix:
        """The weights (dim, classes) at a C.

        Args:
            cost: C.
            tolerance: as `newton.minimize`.
            start: weights to begin from, such as a smaller C's; None for 0.
        """


@attrs.frozen(eq=False)
class NewtonSolver:
    """Truncated Newton over the weights: for many rows.

    Attributes:
        design: the rows.
        loss: of their scores.
        ridge: (dim, 1), as `LinearProblem.ridge`.
        preconditioner: of the design.
    """

    design: Design
    loss: Loss
    ridge: Matrix
    preconditioner: Preconditioner

    def __call__(self, cost: float, tolerance: float, start: Matrix | None = None) -> Matrix:
        """As `Solver`."""
        # Of two classes scikit-learn's LogisticRegression fits one weight vector, its square twice the two's.
        halved = isinstance(self.loss, Multinomial) and self.loss.targets.shape[1] == 2
        problem = LinearProblem(self.design, self.loss, cost / 2 if halved else cost, self.ridge)
        if start is None:
            start = np.zeros((self.design.dim, self.loss.classes), dtype=np.float32)
        return minimize(problem, start, self.preconditioner, tolerance)


@attrs.frozen(eq=False)
class KernelSolver:
    """The SVM by inner products of rows: for few rows of many columns.

    A C that float32 cannot take (`largest_cost`) is fitted in float64: the rows' inner products are then computed
    again, in twice the memory.

    Attributes:
        design: the rows.
        loss: of the scores of those that have a label.
        ridge: as `NewtonSolver`.
        rows: (labelled,) which have a label.
        gram: (labelled, labelled) their inner products, float32.
    """

    design: Design
    loss: SquaredHinge
    ridge: Matrix
    rows: NDArray[np.int64]
    gram: Matrix

    @classmethod
    def of(cls, design: Design, labels: NDArray[np.int64], classes: int, ridge: Matrix) -> KernelSolver:
        """Multiply the rows that have a label, one not below 0."""
        rows = np.flatnonzero(labels >= 0)
        loss = SquaredHinge.of(labels[rows], classes)
        return cls(design, loss, ridge, rows, gram_matrix(design, ridge, rows))

    def __call__(self, cost: float, tolerance: float, start: Matrix | None = None) -> Matrix:
        """As `Solver`."""
        if not len(self.rows):  # a fold that holds all rows there are
            return np.zeros((self.design.dim, self.loss.classes), dtype=np.float32)
        scores = np.zeros_like(self.loss.signs) if start is None else self.design.scores(start)[self.rows]
        gram, design = self.gram, self.design
        if cost > largest_cost(gram):
            gram, design = self._precise_gram, _in_float64(design)
        solution = np.zeros((len(design.dense), self.loss.classes), dtype=gram.dtype)
        solution[self.rows] = fit_by_kernel(gram, self.loss, cost, scores, tolerance)
        weights: Matrix = (design.back(solution) / self.ridge).astype(np.float32)
        return weights

    @cached_property
    def _precise_gram(self) -> Matrix:
        return gram_matrix(self.design, self.ridge, self.rows, np.float64)


@attrs.frozen(eq=False)
class Solvers:
    """Makes solvers of one kind over one design.

    Attributes:
        kind: which linear model.
        classes: how many.
        design: the rows.
        preconditioner: of the design where weights are found by truncated Newton; None where by inner products.
    """

    kind: LinearKind
    classes: int
    design: Design
    preconditioner: Preconditioner | None

    @classmethod
    def of(cls, kind: LinearKind, classes: int, design: Design, ridge: Matrix | None = None) -> Solvers:
        """Choose the way by the design's shape, and measure what the solvers will share.

        Args:
            kind: which linear model.
            classes: how many.
            design: the rows.
            ridge: what a preconditioner is made with; None for 1 each.
        """
        by_kernel = kind == "linear_svm" and _kernel_is_quicker(design)
        return cls(kind, classes, design, None if by_kernel else Preconditioner.of(design, ridge))

    def __call__(self, labels: NDArray[np.int64], ridge: Matrix | None = None) -> Solver:
        """A solver for labels (rows,), -1 where a row is left out, and a ridge, 1 each where none is given."""
        if ridge is None:
            ridge = np.ones((self.design.dim, 1), dtype=np.float32)
        if self.preconditioner is None:
            return KernelSolver.of(self.design, labels, self.classes, ridge)
        loss = (SquaredHinge if self.kind == "linear_svm" else Multinomial).of(labels, self.classes)
        return NewtonSolver(self.design, loss, ridge, self.preconditioner)


def _in_float64(design: Design) -> Design:
    return Design(design.dense.astype(np.float64), tuple(block.astype(np.float64) for block in design.sparse))


def _kernel_is_quicker(design: Design) -> bool:
    rows, width = design.dense.shape
    cells = sum(block.nnz for block in design.sparse) / max(rows, 1)
    quicker: bool = rows <= _MOST_KERNEL_ROWS and rows**2 <= _KERNEL_WORK * (width + _SPARSE_WORK * cells)
    return quicker

"""Linear classifiers over blocks of features: objectives, gradients and curvatures, for all classes at once.

The objective is 1/2 sum penalty * W^2 + C * loss(X W), as scikit-learn writes it:

- `SquaredHinge`: LinearSVC, one class against the rest, intercept regularised as a feature of constant 1;
- `Multinomial`: LogisticRegression, intercept free.

A row with label -1 is left out: it adds a constant to the loss of a hinge, nothing to a slope or a curvature.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import attrs
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from fusionapp.domain.errors import UsageError
from fusionapp.domain.normalization import softmax

Matrix = NDArray[np.floating]

Columns = NDArray[np.floating]
"""(classes,) float64 scalars where classes are problems of their own, else (1,)."""


@attrs.frozen(eq=False)
class Design:
    """The feature matrix X (rows, dim) as blocks side by side; a dense and a sparse one are never stacked.

    Attributes:
        dense: (rows, dense_dim) floating; the first columns of X. Its last column is the constant 1 of the
            intercept.
        sparse: CSR (rows, columns) each; the columns after those.
        transposed: the sparse blocks' transposes, kept as CSR because X^T R over CSC is half as fast.
    """

    dense: Matrix
    sparse: tuple[csr_array, ...] = ()
    transposed: tuple[csr_array, ...] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "transposed", tuple(block.T.tocsr() for block in self.sparse))

    @property
    def dim(self) -> int:
        """Columns of X, the intercept's included."""
        return int(self.dense.shape[1]) + sum(int(block.shape[1]) for block in self.sparse)

    def scores(self, weights: Matrix) -> Matrix:
        """X W: (dim, classes) -> (rows, classes)."""
        start = self.dense.shape[1]
        scores: Matrix = self.dense @ weights[:start]
        for block in self.sparse:
            stop = start + block.shape[1]
            scores += block @ weights[start:stop]
            start = stop
        return scores

    def back(self, slopes: Matrix) -> Matrix:
        """X^T R: (rows, classes) -> (dim, classes)."""
        return np.concatenate([self.dense.T @ slopes, *(block @ slopes for block in self.transposed)])

    @property
    def rough(self) -> Design:
        """The same X for products that a direction is found by, where three digits do; here X itself."""
        return self


class Loss(Protocol):
    """A convex loss of scores Z = X W (rows, classes), summed over rows."""

    @property
    def free_intercept(self) -> bool:
        """Whether the intercept is left out of the penalty."""

    @property
    def separate(self) -> bool:
        """True where classes are problems of their own."""

    @property
    def classes(self) -> int:
        """How many columns scores have."""

    def value(self, scores: Matrix) -> Columns:
        """The loss summed over rows."""

    def slope(self, scores: Matrix) -> Matrix:
        """d loss / d Z, (rows, classes)."""

    def weight(self, scores: Matrix) -> Matrix:
        """The diagonal of d2 loss / dZ2, (rows, classes), at least 0."""

    def curve(self, scores: Matrix) -> Callable[[Matrix], Matrix]:
        """The map from V to (d2 loss / dZ2) V, both (rows, classes)."""

    def columns(self, classes: NDArray[np.generic]) -> Loss:
        """The loss of some classes alone, by index or mask; only where classes are separate."""


@attrs.frozen(eq=False)
class LinearProblem:
    """1/2 sum penalty * W^2 + cost * loss(X W), its gradient, and the products that a solver needs.

    Scores X W are passed in beside W, so that a solver that keeps them pays for no product twice.

    Attributes:
        design: X (rows, dim).
        loss: over (rows, classes) scores.
        cost: C, above 0.
        ridge: (dim, 1) weight of each squared coefficient, above 0; 1 each where none is given.
        penalty: the same, with 0 for an intercept left free.
    """

    design: Design
    loss: Loss
    cost: float
    ridge: Matrix = attrs.field()
    penalty: Matrix = attrs.field(init=False)

    @ridge.default
    def _plain(self) -> Matrix:
        return np.ones((self.design.dim, 1), dtype=self.design.dense.dtype)

    def __attrs_post_init__(self) -> None:
        penalty = self.ridge.copy()
        penalty[self.design.dense.shape[1] - 1] *= not self.loss.free_intercept
        object.__setattr__(self, "penalty", penalty)

    def value(self, weights: Matrix, scores: Matrix) -> Columns:
        """The objective, of each class where classes are separate."""
        loss: Columns = 0.5 * self.inner(self.penalty * weights, weights) + self.cost * self.loss.value(
            scores
        )
        return loss

    def gradient(self, weights: Matrix, scores: Matrix) -> Matrix:
        """d objective / d W, (dim, classes).

        A free intercept's sums to 0 over classes, as softmax does not see what all are raised by. Rounding does,
        and nothing bends there: a step along it has no end.
        """
        slope: Matrix = self.penalty * weights + self.cost * self.design.back(self.loss.slope(scores))
        if self.loss.free_intercept:
            intercept = self.design.dense.shape[1] - 1
            slope[intercept] -= slope[intercept].mean()
        return slope

    def inner(self, left: Matrix, right: Matrix) -> Columns:
        """Inner products of matrices (dim, classes), in float64."""
        columns: Columns = (left * right).sum(0, dtype=np.float64)
        return columns if self.loss.separate else columns.sum(keepdims=True)

    def columns(self, classes: NDArray[np.generic]) -> LinearProblem:
        """The problem of some classes alone, where classes are separate."""
        return LinearProblem(self.design, self.loss.columns(classes), self.cost, self.ridge)

    def length(self, weights: Matrix) -> Columns:
        """Lengths of weights (dim, classes) where the ridge is 1: a free intercept apart."""
        return np.sqrt(self.inner(self.penalty * weights, weights))

    def slope(self, gradient: Matrix) -> Columns:
        """Lengths of gradients (dim, classes) in the same coordinates: sqrt(sum G^2 / ridge)."""
        return np.sqrt(self.inner(gradient / self.ridge, gradient))


@attrs.frozen(eq=False)
class SquaredHinge:
    """sum over rows of max(0, |sign| - sign * z)^2, each class against the rest (Fan et al. 2008).

    Attributes:
        signs: (rows, classes), 1 where the row is of the class, else -1; 0 where the row is left out.
    """

    signs: Matrix
    free_intercept = False
    separate = True

    @classmethod
    def of(
        cls, labels: NDArray[np.int64], classes: int, dtype: type[np.floating] = np.float32
    ) -> SquaredHinge:
        """The loss of labels (rows,) in [-1, classes)."""
        signs = 2 * _indicators(labels, classes, dtype) - 1
        signs[labels < 0] = 0
        return cls(signs)

    @property
    def classes(self) -> int:
        """As `Loss.classes`."""
        return int(self.signs.shape[1])

    def value(self, scores: Matrix) -> Columns:
        """As `Loss.value`."""
        losses: Columns = np.square(self._shortfall(scores)).sum(0, dtype=np.float64)
        return losses

    def slope(self, scores: Matrix) -> Matrix:
        """As `Loss.slope`."""
        return -2 * self.signs * self._shortfall(scores)

    def weight(self, scores: Matrix) -> Matrix:
        """2 inside the margin, 0 beyond: the generalised second derivative (Mangasarian 2002)."""
        inside: Matrix = (self._shortfall(scores) > 0).astype(scores.dtype)
        return 2 * inside

    def curve(self, scores: Matrix) -> Callable[[Matrix], Matrix]:
        """As `Loss.curve`."""
        weight = self.weight(scores)
        return lambda direction: weight * direction

    def columns(self, classes: NDArray[np.generic]) -> SquaredHinge:
        """As `Loss.columns`."""
        return SquaredHinge(self.signs[:, classes])

    def _shortfall(self, scores: Matrix) -> Matrix:
        return np.maximum(np.abs(self.signs) - self.signs * scores, 0)


@attrs.frozen(eq=False)
class Multinomial:
    """sum over rows of -ln softmax(z)[label], in nats.

    Attributes:
        targets: (rows, classes), 1 in the label's column; all 0 where the row is left out.
    """

    targets: Matrix
    free_intercept = True
    separate = False

    @classmethod
    def of(
        cls, labels: NDArray[np.int64], classes: int, dtype: type[np.floating] = np.float32
    ) -> Multinomial:
        """The loss of labels (rows,) in [-1, classes)."""
        return cls(_indicators(labels, classes, dtype))

    @property
    def classes(self) -> int:
        """As `Loss.classes`."""
        return int(self.targets.shape[1])

    def value(self, scores: Matrix) -> Columns:
        """As `Loss.value`."""
        shifted = scores - scores.max(1, keepdims=True)
        # In float32 a sum of 1 and little loses what a row that is well fitted still costs.
        sums = np.exp(shifted).sum(1, dtype=np.float64)
        nats: Columns = np.log(sums) - (shifted * self.targets).sum(1)
        total: Columns = (nats * self._present[:, 0]).sum(keepdims=True, dtype=np.float64)
        return total

    def slope(self, scores: Matrix) -> Matrix:
        """As `Loss.slope`."""
        slope: Matrix = softmax(scores) * self._present - self.targets
        return slope

    def weight(self, scores: Matrix) -> Matrix:
        """p (1 - p)."""
        p = softmax(scores)
        weight: Matrix = p * (1 - p) * self._present
        return weight

    def curve(self, scores: Matrix) -> Callable[[Matrix], Matrix]:
        """V to p * v - p * sum(p * v), row by row."""
        p, present = softmax(scores), self._present

        def product(direction: Matrix) -> Matrix:
            weighed: Matrix = present * p * direction
            centred: Matrix = weighed - p * weighed.sum(1, keepdims=True)
            return centred

        return product

    def columns(self, classes: NDArray[np.generic]) -> Multinomial:
        """Refused: softmax ties the classes together."""
        raise UsageError("multinomial loss: its classes cannot be fitted apart; fit them all at once")

    @property
    def _present(self) -> Matrix:
        """(rows, 1), 0 where the row is left out."""
        present: Matrix = self.targets.sum(1, keepdims=True)
        return present


def _indicators(labels: NDArray[np.int64], classes: int, dtype: type[np.floating]) -> Matrix:
    """(rows, classes), 1 in the label's column, all 0 for label -1."""
    padded: Matrix = np.eye(classes + 1, classes, dtype=dtype)
    return padded[labels]

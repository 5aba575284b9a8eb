"""The directions in which models' qualities vary together.

How hard a prompt is moves all models alike, and varies far more than what sets one model apart. One penalty for
both suits the first and drowns the second, which is what a router lives by: so each direction has its own, as in
Breiman and Friedman, "Predicting multivariate responses in multiple linear regression" (1997), with the principal
axes of the answers for their canonical ones.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import numpy as np
from numpy.typing import NDArray

Wide = NDArray[np.float64]


@attrs.frozen(eq=False)
class Directions:
    """Models that answered the very same prompts.

    Attributes:
        rows: (rows,) the prompts.
        models: (models,) their columns.
        axes: (models, models) float64, a direction a column, each of length 1 and at right angles to the others.
    """

    rows: NDArray[np.intp]
    models: NDArray[np.intp]
    axes: Wide

    def of(self, values: Wide) -> Wide:
        """(rows, directions) of (prompts, all models)."""
        turned: Wide = values[np.ix_(self.rows, self.models)] @ self.axes
        return turned


def find_directions(target: Wide) -> Iterator[Directions]:
    """The principal axes of each group of models with the same known prompts.

    Args:
        target: (prompts, models) centred qualities; NaN where unknown.
    """
    known = ~np.isnan(target)
    _, group = np.unique(known, axis=1, return_inverse=True)
    for number in range(int(group.max(initial=-1)) + 1):
        models = np.flatnonzero(group.ravel() == number)
        rows = np.flatnonzero(known[:, models[0]])
        answers = target[np.ix_(rows, models)]
        yield Directions(rows, models, np.linalg.eigh(answers.T @ answers)[1])

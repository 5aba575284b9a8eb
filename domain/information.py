"""How much a column's presence says of the class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PSEUDO_ROWS = 5.0
"""Rows of the prior that a column's classes are smoothed by: two rows that agree are little evidence."""


def class_information(
    together: NDArray[np.floating], rows: NDArray[np.floating], pseudo_rows: float = PSEUDO_ROWS
) -> NDArray[np.float64]:
    """Nats that seeing a column gives about a row's class: KL(P(class | column) || P(class)).

    Averaged over a column's presence, this is what "supervised term weighting" by information gain measures
    (Debole and Sebastiani 2003), without its factor of frequency: TF-IDF and the rows themselves bring that.

    Args:
        together: (columns, classes) rows of a class that hold the column.
        rows: (classes,) rows of each class.
        pseudo_rows: that many rows of the prior are added to a column's, so that rare columns say little.

    Returns:
        (columns,) at least 0; 0 for a column that no row holds.
    """
    prior = (rows + 1) / (rows.sum() + len(rows))
    held = together.sum(1, keepdims=True)
    share = (together + pseudo_rows * prior) / (held + pseudo_rows)
    nats: NDArray[np.float64] = (share * np.log(share / prior)).sum(1, dtype=np.float64)
    return np.maximum(nats, 0)

"""A linear model as plain numbers, for those who compute it elsewhere."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.arrays import A
from fusionapp.domain.lexical_weighting import LexicalWeighting
from fusionapp.domain.normalization import l2_normalize
from fusionapp.domain.standardization import Standardization


@attrs.frozen(eq=False)
class LinearSource:
    """How one dense source enters a linear layer.

    Attributes:
        weights: (layers * dim, classes) float32.
        unit_layers: each layer is scaled to length 1 first.
        divisor: what all numbers are divided by, above 0.
        standardization: each dimension is standardised first; None where it is not.
    """

    weights: NDArray[np.float32]
    unit_layers: bool
    divisor: float
    standardization: Standardization | None = None


@attrs.frozen(eq=False)
class SparseLinearSource:
    """How one sparse source enters a linear layer.

    Attributes:
        weights: (kept, classes) float32.
        weighting: TF-IDF, by which raw counts become rows over the kept columns.
    """

    weights: NDArray[np.float32]
    weighting: LexicalWeighting


@attrs.frozen(eq=False)
class LinearLayer:
    """Decision values: the sum over sources of scaled rows times weights, and an intercept.

    Attributes:
        sources: by encoder name.
        intercept: (classes,) float32.
    """

    sources: Mapping[str, LinearSource | SparseLinearSource]
    intercept: NDArray[np.float32]


def scale_rows(
    rows: A, unit_layers: bool, divisor: float, mean: A | None = None, deviation: A | None = None
) -> A:
    """Rows (rows, layers, dim) as a linear layer takes them, in the same shape; see `LinearSource`."""
    if mean is not None and deviation is not None:
        rows = (rows - mean) / deviation
    elif unit_layers:
        rows = l2_normalize(rows)
    scaled: A = rows / divisor
    return scaled

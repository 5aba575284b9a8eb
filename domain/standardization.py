"""Each dimension of a dense embedding brought to mean 0 and variance 1 over train."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.embeddings import Dense

_CHUNK_ROWS = 4096
_CONSTANT = 1e-6
"""A spread below this part of the mean is float32's rounding, not a signal."""


@attrs.frozen(eq=False)
class Standardization:
    """Means and standard deviations of every layer and dimension.

    Attributes:
        mean: (layers, dim) float32.
        deviation: (layers, dim) float32, above 0; 1 where a dimension is constant in train.
    """

    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]

    @classmethod
    def fit(cls, rows: Dense) -> Standardization:
        """Learn from train rows (rows, layers, dim), which may be memory-mapped: they are read twice, in chunks.

        Deviations divide by the number of rows, as scikit-learn's StandardScaler does.
        """
        mean, variance = np.zeros(rows.shape[1:]), np.zeros(rows.shape[1:])
        for chunk in _chunks(rows):
            mean += chunk.sum(axis=0) / len(rows)
        for chunk in _chunks(rows):
            variance += np.square(chunk - mean).sum(axis=0) / len(rows)
        deviation = np.sqrt(variance)
        varies = deviation > _CONSTANT * np.abs(mean)
        return cls(mean.astype(np.float32), np.where(varies, deviation, 1.0).astype(np.float32))

    def transform(self, rows: Dense) -> Dense:
        """(rows, layers, dim) float32 -> the same shape, (x - mean) / deviation."""
        standard: Dense = (rows - self.mean) / self.deviation
        return standard


def _chunks(rows: Dense) -> Iterator[NDArray[np.float64]]:
    for start in range(0, len(rows), _CHUNK_ROWS):
        yield np.asarray(rows[start : start + _CHUNK_ROWS], dtype=np.float64)

"""How a dense source's vectors are scaled before a model reads them, fitted on train and saved with the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.embeddings import Dense
from fusionapp.domain.normalization import l2_normalize

_CHUNK_ROWS = 4096
"""Rows summed at once, so that a memory-mapped source is never held twice."""

Normalization = Literal["l2", "standard", "none"]


@attrs.frozen(eq=False)
class DenseScaling:
    """One of three scalings of vectors, each layer by itself.

    Attributes:
        kind: l2 scales a layer's vector to length sqrt(dim), standard each dimension to mean 0 and variance 1
            over train, none leaves vectors as they are.
        mean: (layers, dim) float32 over train; None unless `kind` is standard.
        deviation: (layers, dim) float32 over train, population; 1 where a dimension does not vary.
    """

    kind: Normalization = "l2"
    mean: NDArray[np.float32] | None = None
    deviation: NDArray[np.float32] | None = None

    @classmethod
    def fit(cls, train: Dense, kind: Normalization = "l2") -> DenseScaling:
        """Learn from the train rows (rows, layers, dim); only standard has something to learn.

        Sums run in float64, the mean's before the deviation's: a large common offset costs no digits.
        """
        if kind != "standard":
            return cls(kind)
        mean = _mean(train, lambda chunk: chunk)
        deviation = np.sqrt(_mean(train, lambda chunk: np.square(chunk - mean)))
        constant = deviation <= 1e-6 * np.abs(mean)  # what float32 leaves of a number that never changes
        return cls(kind, mean.astype(np.float32), np.where(constant, 1, deviation).astype(np.float32))

    def transform(self, rows: Dense) -> Dense:
        """Scaled vectors, (rows, layers, dim) float32."""
        if self.mean is not None and self.deviation is not None:
            return np.asarray((rows - self.mean) / self.deviation, dtype=np.float32)
        if self.kind == "l2":
            return l2_normalize(rows) * np.float32(rows.shape[-1] ** 0.5)
        return rows


def _mean(rows: Dense, of: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> NDArray[np.float64]:
    """The mean over rows of a function of float64 chunks."""
    total = np.zeros(rows.shape[1:])
    for start in range(0, len(rows), _CHUNK_ROWS):
        total += of(rows[start : start + _CHUNK_ROWS].astype(np.float64)).sum(0)
    return total / len(rows)

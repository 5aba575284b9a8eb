"""A long text as the mean over its windows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.normalization import l2_normalize


def average_windows(
    vectors: NDArray[np.float32], done: NDArray[np.bool_], first: NDArray[np.int64], normalize: bool
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Texts' vectors from their windows', each window counting the same.

    Args:
        vectors: (windows, layers, dim) float32, a text's windows in a row.
        done: (windows,) bool, True where the vector is finite.
        first: (texts,) int64, the first window of each text.
        normalize: scale each layer's mean to length 1 again.

    Returns:
        (texts, layers, dim) float32 and (texts,) bool; a text with a window that is not finite is zeros and False.
    """
    if not len(first):
        return vectors[:0], done[:0]
    whole: NDArray[np.bool_] = np.logical_and.reduceat(done, first)
    counts = np.diff(first, append=len(vectors))[:, None, None]
    means: NDArray[np.float32] = (np.add.reduceat(vectors, first, axis=0) / counts).astype(np.float32)
    if normalize:
        means = l2_normalize(means)
    means[~whole] = 0.0
    return means, whole

"""Sparse times dense, on every core: scipy's product runs on one and is a third as fast on each."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch.nn.functional import embedding_bag

Float = TypeVar("Float", np.float32, np.float64)


def bag_product(rows: csr_array, matrix: NDArray[Float]) -> NDArray[Float]:
    """A CSR matrix (rows, columns) times a dense one (columns, width) of its dtype: weighted sums of its rows."""
    if not rows.nnz:  # embedding_bag refuses to sum over nothing at all
        return np.zeros((rows.shape[0], matrix.shape[1]), dtype=matrix.dtype)
    sums = embedding_bag(
        torch.from_numpy(rows.indices),
        torch.from_numpy(np.ascontiguousarray(matrix)),
        torch.from_numpy(rows.indptr.astype(rows.indices.dtype, copy=False)),
        mode="sum",
        per_sample_weights=torch.from_numpy(rows.data),
        include_last_offset=True,
    )
    product: NDArray[Float] = sums.numpy()
    return product

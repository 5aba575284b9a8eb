"""All inner products of a design's rows, where columns are weighted."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array

from fusionapp.adapters.torch_shared.sparse_products import bag_product
from fusionapp.domain.linear import Design, Matrix

_BUFFER_CELLS = 2**25
"""Cells of the buffer that some sparse rows are spread over: 128 MiB in float32."""
_MOST_WIDE, _LEAST_WIDE = 512, 16


def gram_matrix(
    design: Design, ridge: Matrix, rows: NDArray[np.int64], dtype: type[np.floating] = np.float32
) -> Matrix:
    """X diag(1 / ridge) X^T of some rows, (rows, rows).

    Args:
        design: X.
        ridge: (dim, 1), above 0: the weights of the squared coefficients, in whose coordinates they are 1.
        rows: which, by number.
        dtype: float32 or float64, of the products.
    """
    root = np.sqrt(ridge[:, 0].astype(dtype))
    start = design.dense.shape[1]
    scaled = torch.from_numpy(design.dense[rows].astype(dtype, copy=False) / root[:start])
    gram: Matrix = (scaled @ scaled.T).numpy()
    for block in design.sparse:
        stop = start + block.shape[1]
        some = csr_array(block[rows])
        if some.nnz:
            cells = some.data / root[start:stop][some.indices]
            _add_products(csr_array((cells, some.indices, some.indptr), shape=some.shape), gram)
        start = stop
    return gram


def _add_products(rows: csr_array, gram: Matrix) -> None:
    """Add all inner products of sparse rows, a strip of columns below the diagonal at a time, and mirror it.

    scipy's product of two sparse matrices took twenty times as long on Reuters-52, whose products are dense.
    """
    count, columns = rows.shape
    width = min(max(_BUFFER_CELLS // columns, _LEAST_WIDE), _MOST_WIDE, count)
    spread = np.zeros((columns, width), dtype=gram.dtype)
    for start in range(0, count, width):
        stop = min(start + width, count)
        cells = slice(rows.indptr[start], rows.indptr[stop])
        place = (
            rows.indices[cells],
            np.repeat(np.arange(stop - start), np.diff(rows.indptr[start : stop + 1])),
        )
        spread[place] = rows.data[cells]
        gram[start:, start:stop] += bag_product(rows[start:], spread)[:, : stop - start]
        gram[start:stop, stop:] = gram[stop:, start:stop].T
        spread[place] = 0

"""Sparse matrices from files, checked before scipy trusts them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from scipy.sparse import csr_array

from fusionapp.domain.errors import CorruptArtifactError


def checked_csr(
    path: Path, values: NDArray[Any], indices: NDArray[Any], indptr: NDArray[Any], shape: tuple[int, int]
) -> csr_array:
    """CSR (rows, vocabulary) float32 from stored parts.

    Every index is checked: scipy's compiled loops read and write wherever an index points.

    Raises:
        CorruptArtifactError: an index points outside, or the parts do not fit together.
    """
    try:
        rows = csr_array((values, indices, indptr), shape=shape)
        rows.check_format(full_check=True)
    except ValueError as error:
        raise CorruptArtifactError(f"{path}: is no CSR matrix of shape {shape}: {error}") from error
    return rows

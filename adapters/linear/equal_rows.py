"""Rows whose embeddings are the same in every source, as those of a text that stands several times are."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from fusionapp.domain.embeddings import Embeddings


def equal_rows(sources: Mapping[str, Embeddings], rows: int) -> NDArray[np.int64]:
    """(rows,) int64, alike for rows that are the same bit for bit in every source."""
    hashes = [blake2b(digest_size=16) for _ in range(rows)]
    for embeddings in sources.values():
        if isinstance(embeddings, csr_array):
            ends = embeddings.indptr
            for row, digest in enumerate(hashes):
                cells = slice(ends[row], ends[row + 1])
                digest.update(embeddings.indices[cells].tobytes() + b"|")
                digest.update(embeddings.data[cells].tobytes() + b"|")
        else:
            for row, digest in enumerate(hashes):
                digest.update(embeddings[row].tobytes())
    groups: dict[bytes, int] = {}
    return np.array([groups.setdefault(digest.digest(), len(groups)) for digest in hashes], dtype=np.int64)

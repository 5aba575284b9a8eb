"""How well an encoder finds the documents of validation queries."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_SCORES = 1 << 24
"""Similarities held at once."""


def mean_reciprocal_rank(
    queries: Tensor, documents: Tensor, pairs: NDArray[np.int64], cutoff: int = 10
) -> float:
    """MRR over every document, exact: 1 / rank of the best relevant document, 0 beyond the cutoff.

    Documents that score as high as the best relevant one stand before it, so that an encoder to which all texts
    are alike finds nothing.

    Args:
        queries: (queries, dim), compared by dot product.
        documents: (documents, dim).
        pairs: (pairs, 2) query row and the row of a document that is relevant to it.
        cutoff: last rank that counts.

    Returns:
        The mean over the queries that have a relevant document.
    """
    order = np.argsort(pairs[:, 0], kind="stable")
    rows, first, counts = np.unique(pairs[order, 0], return_index=True, return_counts=True)
    most = int(counts.max())
    # Each query's relevant documents as a rectangle; short rows repeat their first.
    column = np.minimum(np.arange(most)[None, :], counts[:, None] - 1)
    relevant = torch.from_numpy(pairs[order, 1][first[:, None] + column]).to(documents.device)
    block = max(1, _SCORES // max(1, len(documents)))
    total = 0.0
    for start in range(0, len(rows), block):
        wanted = relevant[start : start + block]
        asked = torch.from_numpy(rows[start : start + block]).to(queries.device)
        scores = queries[asked] @ documents.T
        best = scores.gather(1, wanted).amax(1, keepdim=True)
        scores.scatter_(1, wanted, -torch.inf)
        ranks = 1 + (~(scores < best)).sum(1)  # what is not a number finds nothing, either
        total += float((ranks.double().reciprocal() * (ranks <= cutoff)).sum())
    return total / len(rows)

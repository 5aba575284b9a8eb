"""The texts of one pool: each distinct one once."""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.encoder_tuner import PairSet


@attrs.frozen(eq=False)
class Pool:
    """Pairs whose documents are each other's negatives.

    Attributes:
        pairs: (pairs,) rows of the pair set.
        queries: (queries,) rows of the distinct queries.
        documents: (documents,) rows of the distinct documents, hard negatives included.
        query: (pairs,) place of each pair's query in `queries`.
        document: (pairs,) place of each pair's document in `documents`.
        hard: (pairs, hard negatives) places in `documents`; -1 where there is none.
    """

    pairs: NDArray[np.int64]
    queries: NDArray[np.int64]
    documents: NDArray[np.int64]
    query: NDArray[np.int64]
    document: NDArray[np.int64]
    hard: NDArray[np.int64]


def make_pool(
    data: PairSet, rows: NDArray[np.int64], hard_negatives: int, random: np.random.Generator
) -> Pool:
    """The pool of these pairs.

    Args:
        data: the pair set.
        rows: (pairs,) of it.
        hard_negatives: most of each pair's that enter, drawn where there are more.
        random: draws them.
    """
    queries, query = np.unique(data.pairs[rows, 0], return_inverse=True)
    hard = _draw_hard(data.negatives[rows], hard_negatives, random)
    wanted = np.concatenate([data.pairs[rows, 1], hard[hard >= 0]])
    documents, places = np.unique(wanted, return_inverse=True)
    hard_places = np.full(hard.shape, -1, dtype=np.int64)
    hard_places[hard >= 0] = places[len(rows) :]
    return Pool(rows, queries, documents, query, places[: len(rows)], hard_places)


def _draw_hard(negatives: NDArray[np.int64], most: int, random: np.random.Generator) -> NDArray[np.int64]:
    """(pairs, most) of each row's entries that are not -1, a random choice where there are more."""
    if negatives.shape[1] <= most:
        return negatives
    order = np.where(negatives >= 0, random.random(negatives.shape), 2.0).argsort(axis=1)
    return np.take_along_axis(negatives, order[:, :most], axis=1)

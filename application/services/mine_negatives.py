"""Find documents that an encoder takes for a query's own, and that are none of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.encoder_tuner import PairSet
from fusionapp.application.ports.vector_index import VectorIndex
from fusionapp.domain.embeddings import Json
from fusionapp.domain.retrieval.false_negatives import FalseNegatives
from fusionapp.domain.retrieval.mining import choose_negatives
from fusionapp.domain.retrieval.recipe import Mining, TuningRecipe

logger = logging.getLogger(__name__)

Vectors = NDArray[np.float32]
_QUERIES_AT_ONCE = 1024


@attrs.frozen(eq=False)
class Mined:
    """Hard negatives of a training set.

    Attributes:
        rows: (pairs, negatives) int64 document rows, -1 where too few were found; None where only their number
            is known any more.
        pairs: how many pairs there are.
        found: how many negatives were found in all.
        complete: how many pairs have as many as were asked for.
    """

    rows: NDArray[np.int64] | None
    pairs: int
    found: int
    complete: int

    @classmethod
    def of_rows(cls, rows: NDArray[np.int64]) -> Mined:
        """Counted."""
        there = rows >= 0
        return cls(rows, len(rows), int(there.sum()), int(there.all(axis=1).sum()))

    @classmethod
    def of_summary(cls, summary: Mapping[str, Json]) -> Mined:
        """What `summary` kept."""
        return cls(None, **summary)

    def summary(self) -> dict[str, Json]:
        """The numbers."""
        return {"pairs": self.pairs, "found": self.found, "complete": self.complete}


@attrs.frozen
class MineNegatives:
    """Searches a training set's documents for its own queries.

    Attributes:
        embed: (queries, dim) and (documents, dim) of the training set by the model in a directory, of length 1
            where similarity is the cosine.
        index: what is searched by.
        scratch: opens a directory that is gone when it is left.
    """

    embed: Callable[[str], tuple[Vectors, Vectors]]
    index: VectorIndex
    scratch: Callable[[], AbstractContextManager[str]]

    def __call__(self, model: str, recipe: TuningRecipe, train: PairSet) -> Mined:
        """Negatives of every pair's query, best ranked first.

        Never among them: documents of any of the query's pairs, texts that equal or nearly equal one of those, and
        documents of the same label where those are no negatives. What is left is taken by rank and score, as
        `recipe.mining` says.

        Args:
            model: directory of the encoder that ranks.
            recipe: of the training that the negatives are for.
            train: the pairs.
        """
        queries, documents = self.embed(model)
        guard = FalseNegatives.of(
            train.queries,
            train.documents,
            train.query_ids,
            train.document_ids,
            train.pairs,
            train.labels if recipe.mask_same_label else None,
            recipe.near_duplicate,
        )
        blocks = []
        with self.scratch() as directory:
            self.index.build([documents], f"{directory}/index")
            opened = self.index.open(f"{directory}/index")
            for start in range(0, len(train.pairs), _QUERIES_AT_ONCE):
                pairs = train.pairs[start : start + _QUERIES_AT_ONCE]
                hits = opened.search(queries[pairs[:, 0]], recipe.mining.depth + recipe.mining.skip)
                positives = np.einsum("qd,qd->q", queries[pairs[:, 0]], documents[pairs[:, 1]])
                blocks.append(_choose(hits.rows, hits.scores, positives, pairs[:, 0], guard, recipe.mining))
        mined = Mined.of_rows(np.concatenate(blocks))
        logger.info(
            "mined %d hard negatives for %d pairs; %d pairs have all %d",
            mined.found,
            mined.pairs,
            mined.complete,
            recipe.mining.negatives,
        )
        return mined


def with_negatives(train: PairSet, rows: NDArray[np.int64] | None) -> PairSet:
    """The pairs with these hard negatives after those that came with the data."""
    if rows is None:
        return train
    return attrs.evolve(train, negatives=np.concatenate([train.negatives, rows], axis=1))


def _choose(
    rows: NDArray[np.int64],
    scores: NDArray[np.float32],
    positives: NDArray[np.float32],
    queries: NDArray[np.int64],
    guard: FalseNegatives,
    mining: Mining,
) -> NDArray[np.int64]:
    return choose_negatives(
        rows,
        scores,
        positives,
        guard.forbidden(queries, rows),
        skip=mining.skip,
        depth=mining.depth,
        most_similar=mining.most_similar,
        margin=mining.margin,
        count=mining.negatives,
    )

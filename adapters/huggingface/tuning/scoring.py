"""Scoring an encoder on validation pairs while it is trained."""

from __future__ import annotations

import numpy as np
import torch

from fusionapp.adapters.huggingface.tuning.objective import Objective, false_negatives
from fusionapp.adapters.huggingface.tuning.pool_embeddings import PoolEmbeddings, TokenizedPairs
from fusionapp.adapters.huggingface.tuning.pools import make_pool
from fusionapp.adapters.huggingface.tuning.trainable import TrainableEncoder
from fusionapp.adapters.huggingface.tuning.validation import mean_reciprocal_rank
from fusionapp.domain.normalization import l2_normalize
from fusionapp.domain.retrieval.contrastive import Similarity
from fusionapp.domain.retrieval.recipe import TuningRecipe


class Scoring:
    """MRR@10 over every validation document, and the loss over pools that are the same at every scoring."""

    def __init__(
        self,
        encoder: TrainableEncoder,
        embeddings: PoolEmbeddings,
        objective: Objective,
        recipe: TuningRecipe,
        data: TokenizedPairs,
    ) -> None:
        self._encoder = encoder
        self._embeddings = embeddings
        self._objective = objective
        self._similarity: Similarity = recipe.similarity
        self._data = data
        pairs = data.pairs
        # In an order of their own: neighbours in a file are often of one topic.
        random = np.random.default_rng(0)
        order = random.permutation(len(pairs.pairs))
        size = recipe.negatives_pool
        starts = range(0, max(1, len(order) - size + 1), size)
        self._pools = [
            make_pool(pairs, order[start : start + size], recipe.hard_negatives, random) for start in starts
        ]
        known = false_negatives(recipe, pairs)
        self._allowed = [known.mask(pool.queries, pool.documents)[pool.query] for pool in self._pools]

    @torch.no_grad()
    def __call__(self) -> dict[str, float]:
        """``mrr@10`` and ``loss`` of the encoder as it is, without dropout."""
        self._encoder.eval()
        try:
            queries = self._embeddings.all(self._data, "query")
            documents = self._embeddings.all(self._data, "document")
        finally:
            self._encoder.train()
        losses = []
        for pool, allowed in zip(self._pools, self._allowed, strict=True):
            asked, found = (
                vectors[torch.from_numpy(rows).to(vectors.device)]
                for vectors, rows in ((queries, pool.queries), (documents, pool.documents))
            )
            losses.append(self._objective(asked, found, pool, torch.from_numpy(allowed).to(asked.device)))
        if self._similarity == "cosine":
            queries, documents = l2_normalize(queries), l2_normalize(documents)
        return {
            "mrr@10": mean_reciprocal_rank(queries, documents, self._data.pairs.pairs),
            "loss": float(torch.stack(losses).mean()),
        }

"""From rows of queries and documents to their embeddings, in chunks that fit."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusionapp.adapters.huggingface.sentence_config import Side
from fusionapp.adapters.huggingface.tuning.chunks import Chunk, cut_chunks, enough_tokens
from fusionapp.adapters.huggingface.tuning.gradcache import Part
from fusionapp.adapters.huggingface.tuning.token_table import TokenTable, token_table
from fusionapp.adapters.huggingface.tuning.trainable import TrainableEncoder
from fusionapp.application.ports.encoder_tuner import PairSet


@attrs.frozen(eq=False)
class TokenizedPairs:
    """A pair set with its texts' tokens.

    Attributes:
        pairs: the pair set.
        queries: tokens of its queries.
        documents: tokens of its documents.
    """

    pairs: PairSet
    queries: TokenTable
    documents: TokenTable


def tokenize_pairs(encoder: TrainableEncoder, pairs: PairSet, name: str) -> TokenizedPairs:
    """Tokenise every text of a pair set once.

    Raises:
        UsageError: the tokenizer makes no token of a text.
    """
    return TokenizedPairs(
        pairs,
        token_table(lambda texts: encoder.tokenize(texts, "query"), pairs.queries, f"{name}.queries"),
        token_table(lambda texts: encoder.tokenize(texts, "document"), pairs.documents, f"{name}.documents"),
    )


class PoolEmbeddings:
    """Embeds texts of a tokenised pair set: queries first, then documents, by their positions in one list."""

    def __init__(self, encoder: TrainableEncoder, dtype: torch.dtype, budget: int) -> None:
        """Set up.

        Args:
            encoder: what is trained.
            dtype: what is multiplied in.
            budget: most tokens of a chunk.
        """
        self._encoder = encoder
        self._dtype = dtype
        self._budget = budget
        self._batch_tokens = enough_tokens(encoder.device)
        # Where a prefix takes no part in the pooling, queries and documents are pooled differently.
        self._apart = encoder.skip("query") != encoder.skip("document")

    def cut(self, lengths: NDArray[np.int64]) -> list[Chunk]:
        """Chunks of texts of these lengths, as positions."""
        return cut_chunks(lengths, self._budget, self._batch_tokens)

    def parts(
        self,
        data: TokenizedPairs,
        queries: NDArray[np.int64],
        documents: NDArray[np.int64],
        chunks: Sequence[Chunk],
    ) -> list[Part]:
        """What computes each chunk's embeddings.

        Args:
            data: holds the tokens.
            queries: rows of queries; position i is ``queries[i]``.
            documents: rows of documents; position ``len(queries) + j`` is ``documents[j]``.
            chunks: of positions.
        """
        return [lambda chunk=chunk: self._embed(data, queries, documents, chunk) for chunk in chunks]  # type: ignore[misc]

    def all(self, data: TokenizedPairs, side: Side) -> Tensor:
        """(texts, dim) float32 embeddings of a whole side, on the encoder's device, without gradients."""
        none = np.zeros(0, np.int64)
        table = data.queries if side == "query" else data.documents
        rows = np.arange(len(table.lengths))
        queries, documents = (rows, none) if side == "query" else (none, rows)
        found = torch.empty(len(rows), self._encoder.dim, device=self._encoder.device)
        with torch.no_grad():
            for chunk in self.cut(table.lengths):
                places = torch.from_numpy(np.concatenate(chunk)).to(found.device)
                found[places] = self._embed(data, queries, documents, chunk)
        return found

    def _embed(
        self, data: TokenizedPairs, queries: NDArray[np.int64], documents: NDArray[np.int64], chunk: Chunk
    ) -> Tensor:
        # One block for a chunk: autocast keeps the narrowed weights for its length, and must not keep those of a
        # pass without a graph for one with.
        with self._autocast():
            return torch.cat([self._batch(data, queries, documents, positions) for positions in chunk])

    def _batch(
        self,
        data: TokenizedPairs,
        queries: NDArray[np.int64],
        documents: NDArray[np.int64],
        positions: NDArray[np.int64],
    ) -> Tensor:
        asked = positions < len(queries)
        if self._apart and asked.any() and not asked.all():
            both = [self._batch(data, queries, documents, positions[rows]) for rows in (asked, ~asked)]
            order = np.argsort(np.concatenate([np.flatnonzero(asked), np.flatnonzero(~asked)]))
            return torch.cat(both)[torch.from_numpy(order).to(both[0].device)]
        count = len(queries)
        ids = [
            data.queries[queries[place]] if place < count else data.documents[documents[place - count]]
            for place in positions.tolist()
        ]
        return self._encoder.embed(ids, "query" if asked[0] else "document")

    def _autocast(self) -> AbstractContextManager[None]:
        device = self._encoder.device.type
        return torch.autocast(device, self._dtype, enabled=self._dtype != torch.float32)

"""Ranking documents by the words that they share with a query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from fusionapp.application.ports.vector_index import Hits


class LexicalRanking(Protocol):
    """A ranking with the word statistics of some documents."""

    def rank(self, queries: Sequence[str], k: int) -> Hits:
        """The k best documents of each query; equal scores by ascending row.

        Documents that share no word with a query score 0 and may stand at its end.

        Raises:
            UsageError: k is less than 1.
        """


class LexicalRanker(Protocol):
    """One such ranking: BM25, TF-IDF."""

    def fit(self, documents: Sequence[str]) -> LexicalRanking:
        """Take word statistics from documents, once for any number of queries.

        Raises:
            UsageError: there is no document, or the ranking's library is missing.
        """

    def rank(self, documents: Sequence[str], queries: Sequence[str], k: int) -> Hits:
        """Both at once."""
        return self.fit(documents).rank(queries, k)

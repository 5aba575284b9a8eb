"""Ranking documents by the words that they share with a query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from fusionapp.application.ports.vector_index import Hits


class LexicalRanker(Protocol):
    """One such ranking: BM25, TF-IDF."""

    def rank(self, documents: Sequence[str], queries: Sequence[str], k: int) -> Hits:
        """The k best documents of each query; equal scores by ascending row.

        Documents that share no word with a query score 0 and may stand at its end. Word statistics are those of
        the documents.

        Raises:
            UsageError: the ranking's library is missing.
        """

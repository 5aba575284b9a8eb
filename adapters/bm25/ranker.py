"""BM25 in Lucene's variant: the bm25s library's NumPy index, without numba, stemming or progress bars."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.lexical_ranker import LexicalRanker, LexicalRanking
from fusionapp.application.ports.vector_index import Hits
from fusionapp.domain.errors import UsageError
from fusionapp.domain.retrieval.nearest import rank_scores

_WORD = re.compile(r"\w+")
_CELLS = 1 << 23
"""Scores of queries and documents held at once: 32 MB, and some copies."""


@attrs.frozen
class Bm25(LexicalRanker):
    """Σ over the query's words of ln(1 + (N - df + ½) / (df + ½)) · tf / (tf + k1 (1 - b + b |d| / mean |d|)).

    Words are runs of letters, digits and underscores in lower case. A word that a query repeats counts as often.

    Attributes:
        k1: how soon more of a word counts no further.
        b: how much long documents are held back, 0 to 1.
        stop_words: words to leave out, in lower case.
    """

    k1: float = 1.5
    b: float = 0.75
    stop_words: frozenset[str] = frozenset()

    def fit(self, documents: Sequence[str]) -> LexicalRanking:
        """Score every word in every document that has it."""
        bm25s = _library()
        if not documents:
            raise UsageError("BM25: there are no documents to rank; give at least one")
        known: dict[str, int] = {}
        ids = [[known.setdefault(word, len(known)) for word in self.words(text)] for text in documents]
        if not known:
            return FittedBm25(self, known, None, len(documents))
        index = bm25s.BM25(k1=self.k1, b=self.b, method="lucene", backend="numpy")
        index.index((ids, known), show_progress=False)
        return FittedBm25(self, known, index, len(documents))

    def words(self, text: str) -> list[str]:
        """The words that count."""
        return [word for word in _WORD.findall(text.lower()) if word not in self.stop_words]


def _library() -> Any:
    """bm25s, which tries JAX out as it is imported: that would take three quarters of a GPU's memory."""
    hide = "jax" not in sys.modules
    if hide:
        sys.modules["jax"] = None  # type: ignore[assignment]  # how Python is told that there is none
    try:
        import bm25s
    except ImportError as error:
        raise UsageError("BM25 needs bm25s: pip install 'fusionapp[retrieve]'") from error
    finally:
        if hide:
            del sys.modules["jax"]
    return bm25s


@attrs.frozen(eq=False)
class FittedBm25(LexicalRanking):
    """BM25 over some documents.

    Attributes:
        ranker: its settings.
        known: each word's number.
        index: bm25s's; None where no document has a word.
        documents: how many there are.
    """

    ranker: Bm25
    known: dict[str, int] = attrs.field(repr=False)
    index: Any = attrs.field(repr=False)
    documents: int

    def rank(self, queries: Sequence[str], k: int) -> Hits:
        """Score every document for a few queries at a time."""
        if k < 1:
            raise UsageError(f"BM25: k {k} is less than 1; ask for at least one hit")
        rows = np.full((len(queries), k), -1, dtype=np.int64)
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        step = max(1, _CELLS // self.documents)
        for start in range(0, len(queries), step):
            part = np.stack([self._scores(query) for query in queries[start : start + step]])
            rows[start : start + step], scores[start : start + step] = rank_scores(part, k)
        return Hits(rows, scores)

    def _scores(self, query: str) -> NDArray[np.float32]:
        ids = [self.known[word] for word in self.ranker.words(query) if word in self.known]
        if not ids:
            return np.zeros(self.documents, dtype=np.float32)
        return np.asarray(self.index.get_scores_from_ids(ids), dtype=np.float32)

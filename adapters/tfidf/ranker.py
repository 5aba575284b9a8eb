"""Sublinear TF-IDF of words and word pairs, compared by cosine."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import attrs
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from fusionapp.application.ports.lexical_ranker import LexicalRanker, LexicalRanking
from fusionapp.application.ports.vector_index import Hits
from fusionapp.domain.errors import UsageError
from fusionapp.domain.retrieval.nearest import rank_scores

_WORD = re.compile(r"\w+")
_CELLS = 1 << 23
"""Scores of queries and documents held at once."""


@attrs.frozen
class TfIdf(LexicalRanker):
    """Weights (1 + ln tf) · (1 + ln((1 + N) / (1 + df))), each text's scaled to length 1.

    Terms are words (runs of letters, digits and underscores, in lower case) and pairs of neighbouring words, as
    scikit-learn's ``TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), token_pattern=r"\\w+")`` has them.
    """

    def fit(self, documents: Sequence[str]) -> LexicalRanking:
        """Count the documents' terms; a query's other terms are left out."""
        if not documents:
            raise UsageError("TF-IDF: there are no documents to rank; give at least one")
        known: dict[str, int] = {}
        counts = _counts(documents, known, grow=True)
        frequencies = np.bincount(counts.indices, minlength=len(known))
        idf = 1.0 + np.log((1.0 + len(documents)) / (1.0 + frequencies))
        return FittedTfIdf(known, idf, csr_array(_weigh(counts, idf).T))


@attrs.frozen(eq=False)
class FittedTfIdf(LexicalRanking):
    """TF-IDF over some documents.

    Attributes:
        known: each term's column.
        idf: (terms,) float64.
        documents: CSR (terms, documents) float32, the weights.
    """

    known: dict[str, int] = attrs.field(repr=False)
    idf: NDArray[np.float64] = attrs.field(repr=False)
    documents: csr_array = attrs.field(repr=False)

    def rank(self, queries: Sequence[str], k: int) -> Hits:
        """Compare a few queries at a time with every document."""
        if k < 1:
            raise UsageError(f"TF-IDF: k {k} is less than 1; ask for at least one hit")
        rows = np.full((len(queries), k), -1, dtype=np.int64)
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        step = max(1, _CELLS // self.documents.shape[1])
        for start in range(0, len(queries), step):
            part = _weigh(_counts(queries[start : start + step], self.known, grow=False), self.idf)
            similarities = np.asarray((part @ self.documents).toarray(), dtype=np.float32)
            rows[start : start + step], scores[start : start + step] = rank_scores(similarities, k)
        return Hits(rows, scores)


def _counts(texts: Sequence[str], known: dict[str, int], grow: bool) -> csr_array:
    """How often each term stands in each text: CSR (texts, terms); `grow` adds unknown terms to `known`."""
    columns: list[int] = []
    ends = [0]
    for text in texts:
        words = _WORD.findall(text.lower())
        terms = [*words, *(f"{first} {second}" for first, second in pairwise(words))]
        if grow:
            columns += [known.setdefault(term, len(known)) for term in terms]
        else:
            columns += [known[term] for term in terms if term in known]
        ends.append(len(columns))
    ones = np.ones(len(columns), dtype=np.float32)
    counts = csr_array(
        (ones, np.asarray(columns, np.int64), np.asarray(ends, np.int64)), (len(texts), len(known))
    )
    counts.sum_duplicates()
    return counts


def _weigh(counts: csr_array, idf: NDArray[np.float64]) -> csr_array:
    lengths = np.diff(counts.indptr)
    rows = np.repeat(np.arange(counts.shape[0]), lengths)
    weights = (1.0 + np.log(counts.data.astype(np.float64))) * idf[counts.indices]
    norms = np.sqrt(np.bincount(rows, weights**2, minlength=counts.shape[0]))
    scaled = (weights / norms[rows]).astype(np.float32)
    return csr_array((scaled, counts.indices, counts.indptr), counts.shape)

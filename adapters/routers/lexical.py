"""Quality from n-grams of texts, and from stored sparse embeddings: linear, fitted by inner products of rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from fusionapp.adapters.routers.landmarks import draw_rows, fit_over_landmarks
from fusionapp.adapters.routers.ngrams import BUCKETS, hash_ngrams
from fusionapp.adapters.routers.ridge import Judge, Ridge, Wide
from fusionapp.domain.lexical_weighting import LexicalWeighting

Floats = NDArray[np.float32]
LANDMARKS = 2000
"""They cost time in fitting only: weights of rows are folded into weights of columns."""


@attrs.frozen(eq=False)
class TextEstimate:
    """Quality linear in a text's n-grams, each worth its idf, over the length of the text's idf values.

    The length counts every occurrence by itself, where TF-IDF counts how often each n-gram stands: so nothing has
    to be counted, and scoring is one product of sparse rows with a narrow table.

    Attributes:
        table: (`BUCKETS`, models + 1) float32: idf times weight, for each model; then idf squared.
    """

    table: Floats

    def __call__(self, texts: Sequence[str]) -> Floats:
        """Centred quality (prompts, models)."""
        sums = np.zeros((len(texts), self.table.shape[1]), dtype=np.float32)
        for rows in hash_ngrams(texts):
            sums += rows @ self.table
        told: Floats = sums[:, :-1] / _length(sums[:, -1:])
        return told


def fit_texts(
    texts: Sequence[str], target: Wide, judge: Callable[[TextEstimate], float] | None = None
) -> TextEstimate:
    """The estimate from texts alone.

    Args:
        texts: of train.
        target: (prompts, models) centred qualities; NaN where unknown.
        judge: by which the penalty is chosen; None for the rows left out.
    """
    kinds = hash_ngrams(texts)
    counts = csr_array(kinds[0] + kinds[1])
    for kind in kinds[2:]:
        counts = csr_array(counts + kind)
    counts.sum_duplicates()
    frequency = np.bincount(counts.indices, minlength=BUCKETS)
    idf = (1 + np.log((1 + len(texts)) / (1 + frequency))).astype(np.float32)
    length = _length(counts @ np.square(idf))
    cells = counts.data * idf[counts.indices] / np.repeat(length, np.diff(counts.indptr))
    rows = csr_array((cells.astype(np.float32), counts.indices, counts.indptr), shape=counts.shape)

    def told(weights: Floats) -> TextEstimate:
        return TextEstimate(np.column_stack([weights * idf[:, None], np.square(idf)]).astype(np.float32))

    return told(fit_sparse(rows, target, None if judge is None else lambda found: judge(told(found)))[0])


def fit_sparse(
    rows: csr_array, target: Wide, judge: Callable[[Floats], float] | None = None
) -> tuple[Floats, Ridge]:
    """Weights of columns (columns, models), and the ridge behind them.

    Args:
        rows: (prompts, columns) of length 1.
        target: (prompts, models) centred qualities; NaN where unknown.
        judge: of weights of columns; None for the rows left out.
    """
    chosen = draw_rows(rows.shape[0], LANDMARKS)
    landmarks = rows[chosen]
    kernel = np.asarray((rows @ landmarks.T).toarray(), dtype=np.float32)

    def of_columns(weights: NDArray[np.floating]) -> Floats:
        return np.asarray(landmarks.T @ weights.astype(np.float32), dtype=np.float32)

    of_landmarks: Judge | None = None if judge is None else lambda weights: judge(of_columns(weights))
    found, ridge = fit_over_landmarks(kernel, chosen, target, of_landmarks)
    return of_columns(found), ridge


@attrs.frozen(eq=False)
class SparseEstimate:
    """Quality linear in a sparse encoder's weighed counts.

    Attributes:
        weighting: of the counts, fitted on train.
        weights: (kept columns, models) float32.
    """

    weighting: LexicalWeighting
    weights: Floats

    def __call__(self, counts: csr_array) -> Floats:
        """Centred quality (prompts, models) of raw counts (prompts, vocabulary)."""
        told: Floats = self.weighting.transform(counts) @ self.weights
        return told

    def weighed(self, weight: Wide) -> SparseEstimate:
        """The same times a matrix (models, models)."""
        return attrs.evolve(self, weights=self.weights @ weight.astype(np.float32))


def _length(squares: Floats) -> Floats:
    length: Floats = np.sqrt(np.where(squares > 0, squares, np.float32(1)))
    return length

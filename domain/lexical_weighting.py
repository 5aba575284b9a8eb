"""TF-IDF over raw hashed counts, fitted on train and saved with the model that reads it."""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from fusionapp.domain.errors import UsageError
from fusionapp.domain.recipe import SourceRecipe


@attrs.frozen(eq=False)
class LexicalWeighting:
    """Which columns of a sparse embedding are kept, and what each is worth.

    A kept cell becomes (1 + ln tf) * idf, idf = ln((1 + rows) / (1 + df)) + 1, and rows are L2-normalised:
    scikit-learn's TfidfVectorizer with smooth_idf, and with sublinear_tf and use_idf as the recipe says.

    Attributes:
        columns: (kept,) int64, ascending column numbers of the raw counts.
        idf: (kept,) float32, at least 1; all 1 without IDF.
        sublinear_tf: a cell counts 1 + ln tf, else tf.
    """

    columns: NDArray[np.int64]
    idf: NDArray[np.float32]
    sublinear_tf: bool = True

    @classmethod
    def fit(cls, counts: csr_array, recipe: SourceRecipe | None = None) -> LexicalWeighting:
        """Learn from the train rows' counts (rows, vocabulary).

        Columns that stand in fewer than `min_document_frequency` rows are dropped, those never seen always.
        Where no column recurs (a handful of texts), all that were seen are kept. Of what is left, `max_columns`
        keeps those that stand in the most rows, the lower column where two stand in as many.

        Args:
            counts: CSR, raw counts of train.
            recipe: thresholds and weights; None for the defaults.

        Raises:
            UsageError: cells that are not counts.
        """
        recipe = recipe or SourceRecipe()
        counts = _canonical(counts)
        frequency = np.bincount(counts.indices, minlength=counts.shape[1])
        keep = frequency >= recipe.min_document_frequency
        if not keep.any():
            keep = frequency > 0
        columns = np.flatnonzero(keep).astype(np.int64)
        if recipe.max_columns is not None and len(columns) > recipe.max_columns:
            commonest = np.argsort(-frequency[columns], kind="stable")[: recipe.max_columns]
            columns = columns[np.sort(commonest)]
        idf = np.ones(len(columns))
        if recipe.idf:
            idf += np.log((1 + counts.shape[0]) / (1 + frequency[columns]))
        return cls(columns, idf.astype(np.float32), recipe.sublinear_tf)

    def transform(self, counts: csr_array) -> csr_array:
        """Weighted rows over the kept columns: (rows, vocabulary) counts -> (rows, kept) float32.

        A row without a kept column is all zeros.

        Raises:
            UsageError: cells that are not counts, or fewer columns than were fitted.
        """
        counts = _canonical(counts)
        if len(self.columns) and self.columns[-1] >= counts.shape[1]:
            raise UsageError(
                f"sparse embedding: {counts.shape[1]} columns, but column {self.columns[-1]} was fitted; "
                "use the encoder that the head was trained with"
            )
        # Ascending columns keep each row's indices sorted, so cells are filtered in place, without a sort.
        place = np.full(counts.shape[1], -1, dtype=np.int32)
        place[self.columns] = np.arange(len(self.columns), dtype=np.int32)
        columns = place[counts.indices]
        kept = columns >= 0
        indptr = np.concatenate([[0], np.cumsum(kept)])[counts.indptr]
        if indptr[-1] < np.iinfo(np.int32).max:
            indptr = indptr.astype(np.int32)  # scipy widens both index arrays to the wider: half the memory
        columns = columns[kept]
        cells = counts.data[kept].astype(np.float32)
        if self.sublinear_tf:
            cells = 1 + np.log(cells)
        cells *= self.idf[columns]
        weighted = csr_array((cells, columns, indptr), shape=(counts.shape[0], len(self.columns)))
        return l2_normalize_rows(weighted)


def l2_normalize_rows(rows: csr_array) -> csr_array:
    """Sparse rows scaled to length 1; an empty row stays empty."""
    widths = np.diff(rows.indptr)
    owner = np.repeat(np.arange(rows.shape[0]), widths)
    squared = np.bincount(owner, weights=np.square(rows.data, dtype=np.float64), minlength=rows.shape[0])
    length = np.sqrt(np.where(squared > 0, squared, 1.0))
    cells = (rows.data / np.repeat(length, widths)).astype(rows.dtype)
    return csr_array((cells, rows.indices, rows.indptr), shape=rows.shape)


def _canonical(counts: csr_array) -> csr_array:
    if not counts.has_canonical_format:
        counts = counts.copy()
        counts.sum_duplicates()
    if counts.nnz and not (counts.data.min() >= 1 and counts.data.max() < np.inf):
        found = counts.data[~((counts.data >= 1) & (counts.data < np.inf))][0]
        raise UsageError(
            f"sparse embedding: a stored cell is {found}, but term frequencies count from 1; "
            "store raw counts, without signs, zeros or weights"
        )
    return counts

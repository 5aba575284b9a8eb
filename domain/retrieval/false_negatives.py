"""Which documents of a pool are no negatives of a query, although the pairs do not say that they answer it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

from fusionapp.domain.retrieval.shingles import Shingles, plain

Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]


@attrs.frozen(eq=False)
class FalseNegatives:
    """What is known of the queries and documents of a data set, made ready to be asked pool by pool.

    Texts of one id, or of one text but for case and white space, are one text. A document is no negative of a
    query if a pair joins the two, or if it is a near-duplicate, or shares the label, of a document that a pair
    joins to the query; nor is it if a pair joins it to a near-duplicate of the query.

    Attributes:
        relevant: (queries, documents) bool, which pairs there are, with equal texts as one.
        labelled: (queries, labels) bool: labels of each query's documents; None where labels do not count.
        label_of: (documents,) each document's label; -1 for one without.
        near_duplicate: least Jaccard similarity of near-duplicates; None where there are none.
        query_shingles: of each query.
        document_shingles: of each document.
    """

    relevant: csr_array
    labelled: csr_array | None
    label_of: Rows
    near_duplicate: float | None
    query_shingles: Shingles | None
    document_shingles: Shingles | None

    @classmethod
    def of(
        cls,
        queries: Sequence[str],
        documents: Sequence[str],
        query_ids: Sequence[str],
        document_ids: Sequence[str],
        pairs: Rows,
        labels: Sequence[str | None] | None = None,
        near_duplicate: float | None = None,
    ) -> FalseNegatives:
        """Prepare a data set.

        Args:
            queries: their texts.
            documents: their texts, hard negatives included.
            query_ids: their names.
            document_ids: their names.
            pairs: (pairs, 2) int64: query row, document row.
            labels: of each document, where documents of one label are no negatives of each other's queries;
                None where labels do not count.
            near_duplicate: Jaccard similarity of word 3-grams from which on texts are near-duplicates; None
                compares none.
        """
        asked = _same(len(queries), query_ids, map(plain, queries))
        found = _same(len(documents), document_ids, map(plain, documents))
        joined = _incidence(pairs[:, 0], pairs[:, 1], (len(queries), len(documents)))
        relevant = _bool(_bool(asked @ joined) @ found)
        label_of = _numbered(labels if labels is not None else [None] * len(documents))
        labelled = None
        if labels is not None:
            has = np.flatnonzero(label_of >= 0)
            label = _incidence(has, label_of[has], (len(documents), int(label_of.max(initial=0)) + 1))
            labelled = _bool(relevant @ label)
        near = near_duplicate is not None
        return cls(
            relevant,
            labelled,
            label_of,
            near_duplicate,
            Shingles.of(queries) if near else None,
            Shingles.of(documents) if near else None,
        )

    def mask(self, queries: Rows, documents: Rows) -> Mask:
        """Which documents may be negatives of which queries.

        Args:
            queries: (q,) query rows, repeats allowed.
            documents: (d,) document rows, repeats allowed.

        Returns:
            (q, d) bool: False where the document is relevant to the query, or may be: the query's own included.
        """
        asked = self.relevant[queries]
        wrong: Mask = asked[:, documents].toarray()
        if self.labelled is not None:
            known = documents[self.label_of[documents] >= 0]
            shared = self.labelled[queries][:, self.label_of[known]].toarray()
            wrong[:, self.label_of[documents] >= 0] |= shared
        if self.near_duplicate is not None:
            wrong |= self._near(asked, queries, documents)
        return ~wrong

    def forbidden(self, queries: Rows, candidates: Rows) -> Mask:
        """Which of each query's own candidates are no negatives of it.

        Args:
            queries: (q,) query rows.
            candidates: (q, k) document rows; -1 where there is none.

        Returns:
            (q, k) bool, True also where there is no candidate.
        """
        found = np.ones(candidates.shape, np.bool_)
        for i, row in enumerate(candidates):
            there = row >= 0
            found[i, there] = ~self.mask(queries[i : i + 1], row[there])[0]
        return found

    def _near(self, asked: csr_array, queries: Rows, documents: Rows) -> Mask:
        """Documents near one of the query's, and documents of a query near it."""
        assert self.query_shingles is not None
        assert self.document_shingles is not None
        own = np.unique(asked.indices).astype(np.int64)
        near = self.document_shingles.jaccard(own, documents) >= self.near_duplicate
        wrong: Mask = _through(asked[:, own].toarray(), near)
        answers = self.relevant[:, documents].tocoo()
        others = np.unique(answers.row).astype(np.int64)
        near = self.query_shingles.jaccard(queries, others) >= self.near_duplicate
        wrong |= _through(near, self.relevant[others][:, documents].toarray())
        return wrong


def _through(first: Mask, second: Mask) -> Mask:
    """Whether any step leads from a row of the first to a column of the second."""
    return (first.astype(np.float32) @ second.astype(np.float32)) > 0


def _same(size: int, *keys: Iterable[str]) -> csr_array:
    """(size, size) bool: which rows share any of the keys, directly or through others."""
    rows, columns, width = [], [], 0
    for key in keys:
        number = _numbered(list(key))
        rows.append(np.arange(size))
        columns.append(number + size + width)
        width += int(number.max(initial=-1)) + 1
    total = size + width
    edges = _incidence(np.concatenate(rows), np.concatenate(columns), (total, total))
    _, group = connected_components(edges, directed=False)
    groups = _incidence(np.arange(size), group[:size], (size, total))
    return _bool(groups @ groups.T)


def _numbered(values: Sequence[str | None]) -> Rows:
    """A number for each distinct value in order of appearance; -1 for None."""
    numbers: dict[str, int] = {}
    return np.array(
        [-1 if value is None else numbers.setdefault(value, len(numbers)) for value in values], np.int64
    )


def _incidence(rows: Rows, columns: Rows, shape: tuple[int, int]) -> csr_array:
    return _bool(coo_array((np.ones(len(rows), np.int32), (rows, columns)), shape=shape).tocsr())


def _bool(counts: csr_array) -> csr_array:
    return counts.astype(np.bool_)

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
class Same:
    """Rows that stand for one text: of one id, or of one text but for case and white space.

    Attributes:
        group: (rows,) each row's group.
        first: (groups,) one row of each group.
    """

    group: Rows
    first: Rows

    @classmethod
    def of(cls, texts: Iterable[str], ids: Iterable[str]) -> Same:
        """Group rows by text and id, directly or through others."""
        by_text, by_id = _numbered(map(plain, texts)), _numbered(ids)
        rows = len(by_text)
        size = rows + int(by_id.max(initial=-1)) + 1
        edges = _incidence(by_text, by_id + rows, (size, size))
        _, component = connected_components(edges, directed=False)
        _, first, group = np.unique(component[by_text], return_index=True, return_inverse=True)
        return cls(group.astype(np.int64), first.astype(np.int64))


@attrs.frozen(eq=False)
class FalseNegatives:
    """What is known of the queries and documents of a data set, made ready to be asked pool by pool.

    Texts of one id, or of one text but for case and white space, are one text. A document is no negative of a
    query if a pair joins the two, or if it is a near-duplicate, or shares the label, of a document that a pair
    joins to the query; nor is it if a pair joins it to a near-duplicate of the query.

    Attributes:
        queries: which are the same.
        documents: which are the same.
        relevant: (query groups, document groups) bool, which a pair joins.
        labelled: (query groups, labels) bool: labels of each query's documents; None where labels do not count.
        label_of: (documents,) each document's label; -1 for one without.
        near_duplicate: least Jaccard similarity of near-duplicates; None where there are none.
        query_shingles: of each query; None where there are no near-duplicates.
        document_shingles: of each document; None likewise.
    """

    queries: Same
    documents: Same
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
        asked, found = Same.of(queries, query_ids), Same.of(documents, document_ids)
        joined = asked.group[pairs[:, 0]], found.group[pairs[:, 1]]
        label_of = _numbered(labels if labels is not None else [None] * len(documents))
        labelled = None
        if labels is not None:
            label = label_of[pairs[:, 1]]
            shape = (len(asked.first), int(label_of.max(initial=0)) + 1)
            labelled = _incidence(joined[0][label >= 0], label[label >= 0], shape)
        near = near_duplicate is not None
        return cls(
            asked,
            found,
            _incidence(*joined, (len(asked.first), len(found.first))),
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
        asked, found = self.queries.group[queries], self.documents.group[documents]
        answers = self.relevant[:, found]
        wrong: Mask = answers[asked].toarray()
        if self.labelled is not None:
            label = self.label_of[documents]
            wrong[:, label >= 0] |= self.labelled[asked][:, label[label >= 0]].toarray()
        if self.near_duplicate is not None and self.query_shingles and self.document_shingles:
            known = self.relevant[asked]
            own = np.unique(known.indices)
            near = self.document_shingles.jaccard(self.documents.first[own], documents) >= self.near_duplicate
            wrong |= _through(known[:, own].toarray(), near)
            others = np.flatnonzero(np.diff(answers.indptr))
            near = self.query_shingles.jaccard(queries, self.queries.first[others]) >= self.near_duplicate
            wrong |= _through(near, answers[others].toarray())
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


def _through(first: Mask, second: Mask) -> Mask:
    """Whether any step leads from a row of the first to a column of the second."""
    reached: Mask = (first.astype(np.float32) @ second.astype(np.float32)) > 0
    return reached


def _numbered(values: Iterable[str | None]) -> Rows:
    """A number for each distinct value in order of appearance; -1 for None."""
    numbers: dict[str, int] = {}
    return np.array([-1 if v is None else numbers.setdefault(v, len(numbers)) for v in values], np.int64)


def _incidence(rows: Rows, columns: Rows, shape: tuple[int, int]) -> csr_array:
    """(shape) bool, True at the given cells."""
    return coo_array((np.ones(len(rows), np.bool_), (rows, columns)), shape=shape).tocsr()

"""Which of the texts that pairs named are one query or document, and the rows of each in a split."""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.repeats import number_rows

Rows = NDArray[np.int64]
Digests = NDArray[np.uint64]


@attrs.frozen(eq=False)
class NamedPairs:
    """What is known of pairs while their texts lie on disk; digests as of `digest_texts`.

    Attributes:
        query_ids: (pairs, 2) digests.
        query_texts: (pairs, 2) digests.
        document_ids: (pairs, 2) digests.
        document_texts: (pairs, 2) digests.
        grades: (pairs,) at least 1.
        negative_texts: (negatives, 2) digests.
        owners: (negatives,) the pair that each negative belongs to, ascending.
    """

    query_ids: Digests
    query_texts: Digests
    document_ids: Digests
    document_texts: Digests
    grades: Rows
    negative_texts: Digests
    owners: Rows

    def second_text(self) -> tuple[int, str] | None:
        """The first pair whose query's or document's id named another text before, and which of the two."""
        for what, ids, texts in (
            ("query", self.query_ids, self.query_texts),
            ("document", self.document_ids, self.document_texts),
        ):
            numbers, firsts = number_rows(ids)
            differs = (texts != texts[firsts[numbers]]).any(axis=1)
            if differs.any():
                return int(np.argmax(differs)), what
        return None


@attrs.frozen(eq=False)
class JoinedPairs:
    """Pairs as rows of distinct queries and documents.

    Attributes:
        queries: (queries,) the pair that names each query first.
        documents: (documents,) the pair that names each document first.
        extra: (extra,) negatives whose text is no document's; they stand as documents behind the others.
        pairs: (pairs, 2) query row and document row, each pair once, in the order of first appearance.
        grades: (pairs,) the highest that was given.
        negatives: (pairs, most) document rows, -1 where there are no more.
        repeated: pairs that were given again.
        relevant_negatives: negatives left out because the query has them as relevant documents.
    """

    queries: Rows
    documents: Rows
    extra: Rows
    pairs: Rows
    grades: Rows
    negatives: Rows
    repeated: int
    relevant_negatives: int


def join_pairs(named: NamedPairs, chosen: Rows) -> JoinedPairs:
    """Give rows to the queries and documents of the chosen pairs, in the order of first appearance.

    Args:
        named: every pair.
        chosen: (chosen,) rows of `named`, ascending.
    """
    queries, first_queries = number_rows(named.query_ids[chosen])
    documents, first_documents = number_rows(named.document_ids[chosen])
    keys = queries * len(first_documents) + documents
    _, first, pair_of = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    pair_of = rank[pair_of]
    grades = np.ones(len(order), dtype=np.int64)
    np.maximum.at(grades, pair_of, named.grades[chosen])
    pairs = np.stack([queries[first[order]], documents[first[order]]], axis=1)

    place = np.full(len(named.grades), -1, dtype=np.int64)
    place[chosen] = pair_of
    mine = np.flatnonzero(place[named.owners] >= 0)
    owners = place[named.owners[mine]]
    texts = _Texts.of(named, chosen[first_documents], mine)
    relevant = np.isin(
        texts.keys(pairs[owners, 0], texts.negatives),
        texts.keys(pairs[:, 0], texts.documents[pairs[:, 1]]),
    )
    return JoinedPairs(
        queries=chosen[first_queries],
        documents=chosen[first_documents],
        extra=mine[texts.new],
        pairs=pairs,
        grades=grades,
        negatives=_table(owners[~relevant], texts.rows[~relevant], len(pairs)),
        repeated=len(chosen) - len(pairs),
        relevant_negatives=int(relevant.sum()),
    )


@attrs.frozen(eq=False)
class Numbered:
    """Pairs in the numbers that `split_documents` takes.

    Attributes:
        queries: (pairs,) by the query's text, so that two ids of one text are one query.
        documents: (pairs,) by the document's id.
        firsts: (documents,) the first pair of each document.
        texts: (documents,) alike for documents of one text.
    """

    queries: Rows
    documents: Rows
    firsts: Rows
    texts: Rows


def number_pairs(named: NamedPairs) -> Numbered:
    """Number queries and documents in the order of first appearance."""
    documents, firsts = number_rows(named.document_ids)
    texts = number_rows(named.document_texts[firsts])[0]
    return Numbered(number_rows(named.query_texts)[0], documents, firsts, texts)


@attrs.frozen(eq=False)
class _Texts:
    """Documents and negatives by their texts, numbered together.

    Attributes:
        documents: (documents,) number of each document's text.
        negatives: (negatives,) number of each negative's.
        rows: (negatives,) the document row of each: the first document of that text, or a row behind them all.
        new: (extra,) the first negative of each text that is no document's.
        count: distinct texts.
    """

    documents: Rows
    negatives: Rows
    rows: Rows
    new: Rows
    count: int

    @classmethod
    def of(cls, named: NamedPairs, documents: Rows, negatives: Rows) -> _Texts:
        rows = len(documents)
        numbers, firsts = number_rows(
            np.concatenate([named.document_texts[documents], named.negative_texts[negatives]])
        )
        new = firsts >= rows
        row_of_number = firsts.copy()
        row_of_number[new] = rows + np.arange(new.sum())
        return cls(
            numbers[:rows], numbers[rows:], row_of_number[numbers[rows:]], firsts[new] - rows, len(firsts)
        )

    def keys(self, queries: Rows, texts: Rows) -> Rows:
        """One number for each query and text."""
        return queries * self.count + texts


def _table(owners: Rows, rows: Rows, pairs: int) -> Rows:
    """(pairs, most) the distinct negatives of each pair, in the order given."""
    _, first = np.unique(owners * (rows.max(initial=0) + 1) + rows, return_index=True)
    kept = np.sort(first)
    kept = kept[np.argsort(owners[kept], kind="stable")]
    counts = np.bincount(owners[kept], minlength=pairs)
    table = np.full((pairs, int(counts.max(initial=0))), -1, dtype=np.int64)
    place = np.arange(len(kept)) - np.repeat(np.cumsum(counts) - counts, counts)
    table[owners[kept], place] = rows[kept]
    return table

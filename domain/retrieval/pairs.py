"""A query with the document that answers it, as a pair source yields it."""

from __future__ import annotations

import attrs


@attrs.frozen
class Pair:
    """One query and one document that is relevant to it.

    Attributes:
        query: the query's text, without any prefix.
        document: the document's text, without any prefix.
        query_id: names the query; several pairs of one query share it.
        document_id: names the document; several pairs of one document share it.
        topic: the document's topic, or None.
        label: what makes two documents alike, where pairs of one label are no negatives; None where there is none.
        date: of the document, ISO 8601, which sorts as text; None where the data has none.
        negatives: texts that look relevant to the query and are not.
        grade: how relevant, at least 1.
    """

    query: str
    document: str
    query_id: str
    document_id: str
    topic: str | None = None
    label: str | None = None
    date: str | None = None
    negatives: tuple[str, ...] = ()
    grade: int = 1


@attrs.frozen
class Document:
    """A document to search in, whether or not any query is known to want it."""

    id: str
    text: str
    topic: str | None = None

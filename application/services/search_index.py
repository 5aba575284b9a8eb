"""Find the documents of a run that are nearest to a query."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.encoder import Encoder
from fusionapp.application.ports.lexical_ranker import LexicalRanker
from fusionapp.application.ports.run_store import RunStore
from fusionapp.application.ports.spool import Spool, SpooledSplit
from fusionapp.application.ports.vector_index import Hits, OpenIndex, VectorIndex
from fusionapp.application.services.build_index import DOCUMENT, FILE, to_unit
from fusionapp.application.services.hybrid import Hybrid, kept_hybrid
from fusionapp.domain.embeddings import Json
from fusionapp.domain.errors import CorruptArtifactError, UsageError

UNCHOSEN = Hybrid("bm25"), 100
"""How rankings are fused where no evaluation chose it, and how many documents of each."""


@attrs.frozen
class Hit:
    """A document that was found.

    Attributes:
        id: its name; its id columns where none of them is called "id".
        score: cosine or inner product, as the index has it; of a hybrid search the weighted mean of scores that
            are scaled from 0 to 1 for each query, or the sum of reciprocal ranks.
        text: the document's.
        topic: its topic, or None.
    """

    id: Json
    score: float
    text: str
    topic: str | None = None


@attrs.frozen
class Answer:
    """A query with its hits, best first."""

    query: str
    hits: tuple[Hit, ...]


@attrs.frozen
class SearchIndex:
    """Encodes queries and asks the run's index.

    Attributes:
        indexes: by kind.
        runs: the run directory with ``index/``.
        spool: the documents' texts, ids and topics (their labels).
    """

    indexes: Mapping[str, VectorIndex]
    runs: RunStore
    spool: Spool

    def __call__(
        self,
        queries: Iterable[str],
        encoder: Encoder,
        k: int = 10,
        words: Mapping[str, LexicalRanker] | None = None,
        batch_size: int = 256,
        reader: Encoder | None = None,
    ) -> Iterator[Answer]:
        """Answers in the queries' order, a batch at a time.

        The index's hash is compared before its library reads it: the formats are not safe against other files.

        Args:
            queries: without any prefix; read as the answers are taken.
            encoder: encodes queries as the documents were encoded.
            k: most hits of a query.
            words: by name, what ranks the same documents by words; the answers then go by both, in the way that
                `evaluate` chose for this encoder, over as many documents of each ranking or k, where that is more;
                where none chose, by reciprocal ranks with "bm25".
            batch_size: queries encoded at a time; it does not change an answer.
            reader: the same encoder as it reads documents, which the index must hold the vectors of.

        Raises:
            UsageError: there is no index, it is of another encoder than `reader`, a query is blank or cannot be
                encoded, or k is less than 1.
            CorruptArtifactError: the index or the documents are not what was written.
        """
        document = self._document()
        if reader is not None and document.get("identity") != json.loads(json.dumps(dict(reader.identity))):
            raise UsageError(
                f"{self.runs.directory}: the index is of another encoder than the run has now; "
                "run `fusionapp index` again"
            )
        index = self._open(document)
        documents = self.spool.read(document["split"])
        rows = np.setdiff1d(np.arange(documents.rows), document["left_out"])
        if len(rows) != index.rows:
            raise CorruptArtifactError(
                f"{self.runs.directory}: {index.rows} vectors in the index and {len(rows)} documents beside it; "
                "run `fusionapp index` again"
            )
        lexical, depth = None, k
        if words is not None:
            hybrid, fused = kept_hybrid(self.runs, document["identity"], words) or UNCHOSEN
            lexical, depth = words[hybrid.words].fit(list(documents.stream())), max(k, fused)
        remaining, start = iter(queries), 0
        while batch := list(islice(remaining, batch_size)):
            nearest = index.search(_encode(batch, start, encoder, document["similarity"] == "cosine"), depth)
            hits = Hits(np.where(nearest.rows >= 0, rows[nearest.rows], -1), nearest.scores)
            if lexical is not None:
                hits = hybrid.fuse(hits, lexical.rank(batch, depth), k)
            for query, of_query, scored in zip(batch, hits.rows.tolist(), hits.scores.tolist(), strict=True):
                kept = [(row, score) for row, score in zip(of_query, scored, strict=True) if row >= 0]
                yield Answer(query, tuple(_hit(documents, row, score) for row, score in kept))
            start += len(batch)

    def _document(self) -> Mapping[str, Json]:
        document = self.runs.read_document(DOCUMENT)
        if document is None:
            raise UsageError(f"{self.runs.directory}: there is no index; run `fusionapp index` first")
        needed = {"kind", "sha256", "split", "similarity", "left_out", "identity"}
        if (
            not isinstance(document, dict)
            or not needed <= document.keys()
            or document["kind"] not in self.indexes
        ):
            raise CorruptArtifactError(
                f"{self.runs.directory}: {DOCUMENT} does not describe an index; run `fusionapp index` again"
            )
        return document

    def _open(self, document: Mapping[str, Json]) -> OpenIndex:
        if self.runs.hash_file(FILE) != document["sha256"]:
            raise CorruptArtifactError(
                f"{self.runs.path(FILE)}: its hash is not the one in {DOCUMENT}; run `fusionapp index` again"
            )
        return self.indexes[document["kind"]].open(self.runs.path(FILE))


def _hit(documents: SpooledSplit, row: int, score: float) -> Hit:
    ids = dict(documents.ids(row, row + 1)[0])
    identity = ids.get("id", ids)  # beside it stand a label and a date
    return Hit(identity, score, documents.texts(row, row + 1)[0], documents.labels(row, row + 1)[0])


def _encode(texts: list[str], first: int, encoder: Encoder, unit: bool) -> NDArray[np.float32]:
    blank = [first + place for place, text in enumerate(texts) if not text.strip()]
    if blank:
        raise UsageError(f"query {blank[0]} is blank (counted from 0); remove it")
    encoding = encoder.encode(texts, encoder.plan(len(texts)))
    if encoding.failed.any():
        place = int(np.flatnonzero(encoding.failed)[0])
        why = encoding.reasons.get(place, "its numbers are not finite")
        raise UsageError(f"query {first + place} (counted from 0): the encoder gives no embedding: {why}")
    if encoder.shape.sparse or encoder.shape.layers != 1:
        raise UsageError("search: the encoder does not give one dense vector a text")
    vectors = np.asarray(encoding.embeddings, dtype=np.float32)[:, 0]
    return to_unit(vectors) if unit else vectors

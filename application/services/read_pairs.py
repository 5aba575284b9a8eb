"""Read pairs once, cut them into splits by document, and keep them beside the run."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.pair_source import PairSource
from fusionapp.application.ports.run_store import Column, RunStore
from fusionapp.application.ports.spool import Spool, SpooledSplit
from fusionapp.application.services.pair_stage import PackedDigests, Stage
from fusionapp.application.services.shared_pairs import SharedPairs, find_shared
from fusionapp.domain.embeddings import Json
from fusionapp.domain.errors import DatasetError
from fusionapp.domain.examples import Example
from fusionapp.domain.repeats import first_equal
from fusionapp.domain.retrieval.joined_rows import JoinedPairs, join_pairs, number_pairs
from fusionapp.domain.retrieval.pairs import Document
from fusionapp.domain.retrieval.splitting import By, split_documents
from fusionapp.domain.splits import STANDARD_SPLITS, drawn_splits, order_splits

logger = logging.getLogger(__name__)

PAIRS = "pairs"
"""Tables of this folder say which rows of a split belong together."""


@attrs.frozen
class SplitPairs:
    """What was kept of one split.

    Attributes:
        pairs: distinct ones.
        queries: distinct ones.
        documents: distinct ones that can be found: those of pairs, hard negatives and the corpus.
        corpus: documents that no pair of the split names.
        repeated: pairs that were given again and left out.
        relevant_negatives: hard negatives left out because the query has them as relevant documents.
    """

    pairs: int
    queries: int
    documents: int
    corpus: int
    repeated: int
    relevant_negatives: int


@attrs.frozen
class PairsRead:
    """What was read.

    Attributes:
        splits: by name, in the order train, validation, test, others.
        drawn: splits that were taken out of train here.
        shared: texts that stand in several splits.
    """

    splits: Mapping[str, SplitPairs]
    drawn: Sequence[str]
    shared: SharedPairs


@attrs.frozen
class ReadPairs:
    """Spools ``SPLIT.queries`` and ``SPLIT.documents`` and writes the table ``pairs/SPLIT``.

    Texts pass through the spool, so that memory holds some 100 bytes a pair, whatever the length of its texts.

    Attributes:
        source: where the pairs come from.
        spool: keeps texts, a document's topic as its label, and ids: {"id"}, and a document's "label" and "date".
        runs: keeps which rows belong together: columns query, document, grade, and negatives where there are any.
    """

    source: PairSource
    spool: Spool
    runs: RunStore

    def __call__(
        self,
        *,
        limit: int | None = None,
        test_fraction: float = 0.2,
        validation_fraction: float = 0.1,
        by: By = "random",
        seed: int = 0,
    ) -> PairsRead:
        """Read every split.

        Where the source has train alone, test and validation are drawn from it; where only validation is missing,
        that is. A document that no pair of the source's split names (its `corpus`) can be found in every split
        that is drawn from it.

        Args:
            limit: only the first pairs of each split.
            test_fraction: share of train's documents that become test.
            validation_fraction: share of train's documents that become validation.
            by: how documents are drawn; see `split_documents`.
            seed: of the draw.

        Raises:
            DatasetError: a blank text, one id with two texts, a split without pairs, or as the source says.
            UsageError: the split cannot be drawn.
        """
        given = list(self.source.splits())
        drawn = drawn_splits(given)
        kept: dict[str, SplitPairs] = {}
        for split in given:
            logger.info("%s: reading pairs of %s", split, self.source.describe(split))
            stage = Stage.write(self.spool, self.source, split, limit)
            try:
                parts = {split: np.arange(len(stage.starts))}
                if split == "train" and drawn:
                    test = test_fraction if "test" in drawn else 0.0
                    parts = _draw(stage, test, validation_fraction, by, seed)
                for name, chosen in parts.items():
                    kept[name] = self._keep(stage, split, name, join_pairs(stage.named, chosen))
            finally:
                self.spool.remove(stage.name)
        names = order_splits(kept)
        return PairsRead({name: kept[name] for name in names}, drawn, find_shared(self.spool, names))

    def _keep(self, stage: Stage, split: str, name: str, joined: JoinedPairs) -> SplitPairs:
        queries = self.spool.write(f"{name}.queries", stage.examples(stage.starts[joined.queries]))
        corpus = _Corpus(self.source.describe(split), stage.named.document_ids[joined.documents])
        examples = chain(
            stage.examples(stage.starts[joined.documents] + 1),
            stage.examples(stage.negative_rows[joined.extra]),
            corpus.examples(self.source.corpus(split)),
        )
        documents = self.spool.write(f"{name}.documents", examples)
        corpus.check(documents, len(joined.extra))
        columns: dict[str, Column] = {
            "query": joined.pairs[:, 0],
            "document": joined.pairs[:, 1],
            "grade": joined.grades,
        }
        if joined.negatives.shape[1]:
            columns["negatives"] = joined.negatives
        self.runs.write_table(f"{PAIRS}/{name}.parquet", columns)
        kept = SplitPairs(
            pairs=len(joined.pairs),
            queries=queries.rows,
            documents=documents.rows,
            corpus=documents.rows - len(joined.documents) - len(joined.extra),
            repeated=joined.repeated,
            relevant_negatives=joined.relevant_negatives,
        )
        logger.info("%s: %d pairs, %d queries, %d documents", name, kept.pairs, kept.queries, kept.documents)
        return kept


class _Corpus:
    """Turns a corpus into examples and sees that its ids are new."""

    def __init__(self, where: str, known: NDArray[np.uint64]) -> None:
        """`known`: digests of the ids of the pairs' documents."""
        self._where = where
        self._known = known
        self._ids = PackedDigests()

    def examples(self, documents: Iterable[Document]) -> Iterator[Example]:
        for document in documents:
            if not document.text.strip():
                raise DatasetError(
                    f"{self._where}: document {document.id!r} is blank; fill it in or leave it out"
                )
            self._ids.add(document.id)
            yield Example(document.text, document.topic, {"id": document.id})

    def check(self, written: SpooledSplit, between: int) -> None:
        """`between`: rows between the pairs' documents and the corpus."""
        ids = np.concatenate([self._known, self._ids.taken()])
        first = first_equal(ids)
        if first is None:
            return
        row = int(np.argmax(first != np.arange(len(ids))))
        (id,) = written.ids(row + between, row + between + 1)
        raise DatasetError(f"{self._where}: document {id['id']!r} stands in the corpus twice; leave one out")


def _draw(
    stage: Stage, test_fraction: float, validation_fraction: float, by: By, seed: int
) -> dict[str, NDArray[np.int64]]:
    """Pairs of each split; equal texts are never parted."""
    numbered = number_pairs(stage.named)
    ids = [example.id for example in stage.examples(stage.starts[numbered.firsts] + 1)]
    split_of = split_documents(
        numbered.queries,
        numbered.documents,
        [str(id["id"]) for id in ids],
        [_date(id) for id in ids],
        numbered.texts,
        test_fraction=test_fraction,
        validation_fraction=validation_fraction,
        by=by,
        seed=seed,
    )
    parts = {name: np.flatnonzero(split_of == number) for number, name in enumerate(STANDARD_SPLITS)}
    return {name: chosen for name, chosen in parts.items() if len(chosen)}


def _date(id: Mapping[str, Json]) -> str | None:
    return None if id.get("date") is None else str(id["date"])

"""Every way to rank a split's documents for its queries: by vectors, by words, and by both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import perf_counter

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.encoder_tuner import PairSet
from fusionapp.application.ports.lexical_ranker import LexicalRanker
from fusionapp.application.ports.vector_index import Hits
from fusionapp.domain.retrieval.nearest import nearest
from fusionapp.domain.retrieval.rank_fusion import choose_weight, reciprocal_rank_fusion, weighted_fusion

Vectors = NDArray[np.float32]


@attrs.frozen(eq=False)
class SearchProblem:
    """Queries, the documents that they are searched in, and what they should find.

    Attributes:
        queries: texts.
        documents: texts.
        relevant: for each query, the rows of its documents and their grades.
    """

    queries: Sequence[str]
    documents: Sequence[str]
    relevant: Sequence[Mapping[int, int]]

    @classmethod
    def of(cls, pairs: PairSet) -> SearchProblem:
        """The problem of finding each query's documents among all of them."""
        relevant: list[dict[int, int]] = [{} for _ in pairs.queries]
        for (query, document), grade in zip(pairs.pairs.tolist(), pairs.grades.tolist(), strict=True):
            relevant[query][document] = max(grade, relevant[query].get(document, 0))
        return cls(pairs.queries, pairs.documents, relevant)


@attrs.frozen(eq=False)
class Ranking:
    """One contender's ranked lists.

    Attributes:
        name: as printed.
        validation: of the validation queries, once a seed.
        test: of the queries to judge by, once a seed.
        seconds: spent on ranking and, where something was trained for it, on that.
        note: what was chosen.
    """

    name: str
    validation: Sequence[Hits]
    test: Sequence[Hits]
    seconds: float = 0.0
    note: str = ""


@attrs.frozen(eq=False)
class SplitVectors:
    """One encoder's vectors of one split: (queries, dim) and (documents, dim), as they are compared."""

    queries: Vectors
    documents: Vectors


@attrs.frozen
class RankDocuments:
    """Ranks two problems alike: validation, where choices are made, and test, where they are judged.

    Attributes:
        validation: where weights are chosen.
        test: what is judged.
        depth: how many documents of each ranking are kept.
    """

    validation: SearchProblem
    test: SearchProblem
    depth: int

    def dense(
        self, name: str, vectors: Sequence[tuple[SplitVectors, SplitVectors]], seconds: float = 0.0
    ) -> Ranking:
        """By inner product; `vectors` are those of validation and test, once a seed."""
        start = perf_counter()
        validation = [self._nearest(one) for one, _ in vectors]
        test = [self._nearest(other) for _, other in vectors]
        return Ranking(name, validation, test, seconds + perf_counter() - start)

    def lexical(self, name: str, ranker: LexicalRanker) -> Ranking:
        """By words in common."""
        start = perf_counter()
        validation, test = (
            ranker.rank(problem.documents, problem.queries, min(self.depth, len(problem.documents)))
            for problem in (self.validation, self.test)
        )
        return Ranking(name, [validation], [test], perf_counter() - start)

    def hybrid(self, name: str, dense: Ranking, lexical: Sequence[Ranking]) -> Ranking:
        """The dense ranking with one of the lexical ones, by ranks or by weighted scores: the best on validation.

        Each seed chooses for itself.
        """
        start = perf_counter()
        chosen = [
            self._fuse(validation, test, lexical)
            for validation, test in zip(dense.validation, dense.test, strict=True)
        ]
        notes = dict.fromkeys(note for _, _, note in chosen)
        return Ranking(
            name,
            [validation for validation, _, _ in chosen],
            [test for _, test, _ in chosen],
            dense.seconds + sum(one.seconds for one in lexical) + perf_counter() - start,
            "; ".join(notes),
        )

    def _nearest(self, vectors: SplitVectors) -> Hits:
        return Hits(*nearest(vectors.queries, vectors.documents, self.depth))

    def _fuse(self, validation: Hits, test: Hits, lexical: Sequence[Ranking]) -> tuple[Hits, Hits, str]:
        best: tuple[float, Hits, Hits, str] | None = None
        for partner in lexical:
            for found in self._ways(validation, test, partner):
                if best is None or found[0] > best[0]:
                    best = found
        assert best is not None, "a hybrid has a lexical partner"
        return best[1:]

    def _ways(
        self, validation: Hits, test: Hits, partner: Ranking
    ) -> list[tuple[float, Hits, Hits, str]]:
        """Weighted scores and reciprocal ranks, each with its MRR on validation, the validation and test lists."""
        words = partner.validation[0], partner.test[0]
        weight, weighted_mrr = choose_weight(validation, words[0], self.validation.relevant)
        weighted = [
            weighted_fusion(dense, lexical, weight, self.depth)
            for dense, lexical in ((validation, words[0]), (test, words[1]))
        ]
        ...

"""Every way to rank a split's documents for its queries: by vectors, by words, and by both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from time import perf_counter

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.lexical_ranker import LexicalRanker
from fusionapp.application.ports.vector_index import Hits
from fusionapp.application.services.load_pairs import SearchProblem
from fusionapp.domain.retrieval.nearest import rank_scores
from fusionapp.domain.retrieval.rank_fusion import (
    above_zero,
    choose_weight,
    reciprocal_rank_fusion,
    weighted_fusion,
)
from fusionapp.domain.retrieval.ranking import reciprocal_ranks

Vectors = NDArray[np.float32]

SCORES_AT_ONCE = 2**24
"""Scores of a dense ranking in memory at a time: 64 MiB."""


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
    """Ranks two problems alike: validation, where choices are made, and test, which is judged.

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
        """By inner product.

        Args:
            name: of the contender.
            vectors: of validation and of test, once a seed.
            seconds: spent before.
        """
        start = perf_counter()
        validation = [self._nearest(one) for one, _ in vectors]
        test = [self._nearest(other) for _, other in vectors]
        return Ranking(name, validation, test, seconds + perf_counter() - start)

    def lexical(self, name: str, ranker: LexicalRanker) -> Ranking:
        """By words in common."""
        start = perf_counter()
        validation, test = (
            ranker.rank(
                list(problem.documents.stream()),
                list(problem.queries.stream()),
                min(self.depth, problem.documents.rows),
            )
            for problem in (self.validation, self.test)
        )
        return Ranking(name, [validation], [test], perf_counter() - start)

    def hybrid(self, name: str, dense: Ranking, lexical: Sequence[Ranking]) -> Ranking:
        """The dense ranking with one of the lexical ones, by ranks or by weighted scores: the best on validation.

        Each seed chooses for itself.
        """
        start = perf_counter()
        validations, tests, notes = [], [], []
        for validation, test in zip(dense.validation, dense.test, strict=True):
            ways = (way for one in lexical for way in self._ways(validation, test, one))
            _, fused_validation, fused_test, note = max(ways, key=lambda way: way[0])
            validations.append(fused_validation)
            tests.append(fused_test)
            notes.append(note)
        seconds = dense.seconds + sum(one.seconds for one in lexical) + perf_counter() - start
        return Ranking(name, validations, tests, seconds, "; ".join(dict.fromkeys(notes)))

    def _nearest(self, vectors: SplitVectors) -> Hits:
        depth = min(self.depth, len(vectors.documents))
        block = max(1, SCORES_AT_ONCE // max(1, len(vectors.documents)))
        parts = [
            rank_scores(vectors.queries[start : start + block] @ vectors.documents.T, depth)
            for start in range(0, len(vectors.queries), block)
        ]
        return Hits(*(np.concatenate(each) for each in zip(*parts, strict=True)))

    def _ways(self, validation: Hits, test: Hits, words: Ranking) -> Iterator[tuple[float, Hits, Hits, str]]:
        """Weighted scores and reciprocal ranks, each with its MRR on validation, its two lists and its name."""
        pairs = ((validation, words.validation[0]), (test, words.test[0]))
        lists = [((one.rows, one.scores), (other.rows, other.scores)) for one, other in pairs]
        relevant = self.validation.relevant
        weight, _ = choose_weight(lists[0][0], lists[0][1], relevant)
        by_score = [Hits(*weighted_fusion(one, other, weight, self.depth)) for one, other in lists]
        by_rank = [
            Hits(*reciprocal_rank_fusion([one[0], above_zero(*other)], self.depth)) for one, other in lists
        ]
        for fused, note in (
            (by_score, f"{weight:g} dense + {1 - weight:g} {words.name}"),
            (by_rank, f"reciprocal ranks of dense and {words.name}"),
        ):
            yield float(reciprocal_ranks(fused[0].rows, relevant, 10).mean()), fused[0], fused[1], note

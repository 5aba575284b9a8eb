"""Every way to rank a split's documents for its queries: by vectors, by words, and by both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from time import perf_counter

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.lexical_ranker import LexicalRanker
from fusionapp.application.ports.vector_index import Hits
from fusionapp.application.services.hybrid import Hybrid
from fusionapp.application.services.load_pairs import SearchProblem
from fusionapp.domain.retrieval.nearest import rank_scores
from fusionapp.domain.retrieval.rank_fusion import choose_weight
from fusionapp.domain.retrieval.ranking import reciprocal_ranks

Vectors = NDArray[np.float32]

SCORES_AT_ONCE = 2**24
"""Scores of a dense ranking in memory at a time: 64 MiB."""


@attrs.frozen(eq=False)
class Ranking:
    """One contender's ranked lists.

    Attributes:
        name: as printed.
        validation: of the validation queries, once a seed; empty where there are none.
        test: of the queries to judge by, once a seed.
        seconds: spent on ranking and, where something was trained for it, on that.
        note: what was chosen, or taken without a choice.
        hybrids: how it was fused, once a seed; empty of what is no hybrid.
    """

    name: str
    validation: Sequence[Hits]
    test: Sequence[Hits]
    seconds: float = 0.0
    note: str = ""
    hybrids: Sequence[Hybrid] = ()


@attrs.frozen(eq=False)
class SplitVectors:
    """One encoder's vectors of one split: (queries, dim) and (documents, dim), as they are compared."""

    queries: Vectors
    documents: Vectors


@attrs.frozen
class RankDocuments:
    """Ranks two problems alike: validation, where choices are made, and test, which is judged.

    Attributes:
        validation: where weights are chosen; None where there is none, and then nothing is chosen.
        test: what is judged.
        depth: how many documents of each ranking are kept.
    """

    validation: SearchProblem | None
    test: SearchProblem
    depth: int

    def dense(
        self, name: str, vectors: Sequence[tuple[SplitVectors | None, SplitVectors]], seconds: float = 0.0
    ) -> Ranking:
        """By inner product.

        Args:
            name: of the contender.
            vectors: of validation, None where there is none, and of test, once a seed.
            seconds: spent before.
        """
        start = perf_counter()
        validation = [self._nearest(one) for one, _ in vectors if one is not None]
        test = [self._nearest(other) for _, other in vectors]
        return Ranking(name, validation, test, seconds + perf_counter() - start)

    def lexical(self, name: str, ranker: LexicalRanker) -> Ranking:
        """By words in common."""
        start = perf_counter()
        validation = [] if self.validation is None else [self._by_words(ranker, self.validation)]
        test = [self._by_words(ranker, self.test)]
        return Ranking(name, validation, test, perf_counter() - start)

    def hybrid(self, name: str, dense: Ranking, lexical: Sequence[Ranking]) -> Ranking:
        """The dense ranking with one of the lexical ones, by ranks or by weighted scores: the best on validation.

        Each seed chooses for itself. Without validation it is the first of them, by ranks, which need no weight.
        """
        if self.validation is None:
            return self._unchosen(name, dense, lexical[0])
        relevant = self.validation.relevant
        start = perf_counter()
        validations, tests, hybrids = [], [], []
        for validation, test in zip(dense.validation, dense.test, strict=True):
            ways = (way for one in lexical for way in self._ways(validation, test, one, relevant))
            _, fused_validation, fused_test, hybrid = max(ways, key=lambda way: way[0])
            validations.append(fused_validation)
            tests.append(fused_test)
            hybrids.append(hybrid)
        seconds = dense.seconds + sum(one.seconds for one in lexical) + perf_counter() - start
        return Ranking(
            name, validations, tests, seconds, "; ".join(dict.fromkeys(map(str, hybrids))), hybrids
        )

    def _unchosen(self, name: str, dense: Ranking, words: Ranking) -> Ranking:
        start = perf_counter()
        hybrid = Hybrid(words.name)
        tests = [hybrid.fuse(one, words.test[0], self.depth) for one in dense.test]
        seconds = dense.seconds + words.seconds + perf_counter() - start
        return Ranking(name, [], tests, seconds, f"{hybrid}, not chosen", [hybrid] * len(tests))

    def _by_words(self, ranker: LexicalRanker, problem: SearchProblem) -> Hits:
        depth = min(self.depth, problem.documents.rows)
        return ranker.rank(list(problem.documents.stream()), list(problem.queries.stream()), depth)

    def _nearest(self, vectors: SplitVectors) -> Hits:
        depth = min(self.depth, len(vectors.documents))
        block = max(1, SCORES_AT_ONCE // max(1, len(vectors.documents)))
        parts = [
            rank_scores(vectors.queries[start : start + block] @ vectors.documents.T, depth)
            for start in range(0, len(vectors.queries), block)
        ]
        return Hits(*(np.concatenate(each) for each in zip(*parts, strict=True)))

    def _ways(
        self, validation: Hits, test: Hits, words: Ranking, relevant: Sequence[Mapping[int, int]]
    ) -> Iterator[tuple[float, Hits, Hits, Hybrid]]:
        """Weighted scores and reciprocal ranks, each with its MRR on validation and its two lists."""
        first, second = ((hits.rows, hits.scores) for hits in (validation, words.validation[0]))
        weight, _ = choose_weight(first, second, relevant)
        for hybrid in (Hybrid(words.name, weight), Hybrid(words.name)):
            chosen = hybrid.fuse(validation, words.validation[0], self.depth)
            mrr = float(reciprocal_ranks(chosen.rows, relevant, 10).mean())
            yield mrr, chosen, hybrid.fuse(test, words.test[0], self.depth), hybrid

"""Say what shorter and coarser vectors of an encoder still find."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.ranking_metrics import RankingMetrics
from fusionapp.application.ports.vector_index import Hits
from fusionapp.application.services.load_pairs import SearchProblem
from fusionapp.application.services.rank_documents import SCORES_AT_ONCE, SplitVectors, Vectors
from fusionapp.domain.embeddings import Json
from fusionapp.domain.normalization import l2_normalize
from fusionapp.domain.retrieval.compact_vectors import ByteScale, hamming, search_signs, signs
from fusionapp.domain.retrieval.nearest import rank_scores

METRICS = ("recall@10", "mrr@10")
SHORTEST = 32
"""Where nobody says otherwise, vectors are halved down to this many numbers."""

_DEPTH = 10


@attrs.frozen
class _Way:
    """One way to keep a document's vector.

    Attributes:
        name: as printed.
        bytes: of a vector of so many numbers.
        search: the best documents of (queries, dim) among (documents, dim).
    """

    name: str
    bytes: Callable[[int], int]
    search: Callable[[Vectors, Vectors], Hits]


@attrs.frozen
class TabulateVectors:
    """Searches with the first numbers of each vector, whole, in a byte or in a bit each.

    Attributes:
        measures: computes recall and the reciprocal rank.
    """

    measures: RankingMetrics

    def __call__(
        self,
        vectors: Sequence[SplitVectors],
        problem: SearchProblem,
        dims: Sequence[int] = (),
        cosine: bool = True,
    ) -> list[dict[str, Json]]:
        """One row for each dim and way, the longest first; means over seeds and queries.

        Queries keep their whole numbers in every way but the plain binary one. int8: each number of a document is
        the nearest of 256 steps between the lowest and the highest of its dimension; binary: a bit a number, by
        Hamming distance; binary rescored: the forty nearest of those by the query against the signs.

        Args:
            vectors: of the split that is searched, once a seed.
            problem: what is relevant there.
            dims: how many numbers are kept; empty: the whole vector and its halves down to `SHORTEST`. The whole
                one is always tabulated.
            cosine: scale what is kept to length 1.

        Returns:
            Rows of ``dim``, ``kept as``, ``bytes``, ``recall@10`` and ``mrr@10``.
        """
        whole = vectors[0].documents.shape[1]
        wanted = {whole, *(dim for dim in dims if dim < whole)} if dims else halves(whole)
        return [
            self._row(way, [_shortened(one, dim, cosine) for one in vectors], problem)
            for dim in sorted(wanted, reverse=True)
            for way in _WAYS
        ]

    def _row(self, way: _Way, vectors: Sequence[SplitVectors], problem: SearchProblem) -> dict[str, Json]:
        scored: list[Mapping[str, NDArray[np.float64]]] = [
            self.measures.score(way.search(one.queries, one.documents), problem.relevant, METRICS)
            for one in vectors
        ]
        dim = vectors[0].documents.shape[1]
        means = {metric: float(np.mean([one[metric].mean() for one in scored])) for metric in METRICS}
        return {"dim": dim, "kept as": way.name, "bytes": way.bytes(dim), **means}


def halves(dim: int) -> set[int]:
    """A length and its halves, none below `SHORTEST` but the length itself."""
    found = {dim}
    while dim // 2 >= SHORTEST:
        dim //= 2
        found.add(dim)
    return found


def _shortened(vectors: SplitVectors, dim: int, cosine: bool) -> SplitVectors:
    kept = [np.ascontiguousarray(one[:, :dim]) for one in (vectors.queries, vectors.documents)]
    return SplitVectors(*(l2_normalize(one) if cosine else one for one in kept))


def _blocks(queries: Vectors, documents: int, score: Callable[[Vectors], NDArray[np.floating]]) -> Hits:
    block = max(1, SCORES_AT_ONCE // max(1, documents))
    parts = [
        rank_scores(score(queries[start : start + block]), min(_DEPTH, documents))
        for start in range(0, len(queries), block)
    ]
    return Hits(*(np.concatenate(each) for each in zip(*parts, strict=True)))


def _whole(queries: Vectors, documents: Vectors) -> Hits:
    return _blocks(queries, len(documents), lambda some: some @ documents.T)


def _bytes(queries: Vectors, documents: Vectors) -> Hits:
    scale = ByteScale.of(documents)
    return _whole(queries, scale.decode(scale.encode(documents)))


def _bits(queries: Vectors, documents: Vectors) -> Hits:
    codes = signs(documents)
    return _blocks(queries, len(documents), lambda some: -hamming(signs(some), codes).astype(np.float32))


def _bits_rescored(queries: Vectors, documents: Vectors) -> Hits:
    return Hits(*search_signs(queries, signs(documents), min(_DEPTH, len(documents))))


_WAYS = (
    _Way("float32", lambda dim: 4 * dim, _whole),
    _Way("int8", lambda dim: dim, _bytes),
    _Way("binary", lambda dim: (dim + 7) // 8, _bits),
    _Way("binary rescored", lambda dim: (dim + 7) // 8, _bits_rescored),
)

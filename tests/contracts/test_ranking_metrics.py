"""What every adapter of ranking metrics promises, held to slow loops over the lists."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from fusionapp.adapters.ir_measures.metrics import IrMeasures
from fusionapp.adapters.ragas.metrics import RagasMetrics
from fusionapp.application.ports.ranking_metrics import RankingMetrics
from fusionapp.application.ports.vector_index import Hits
from fusionapp.domain.errors import UsageError

Grades = Mapping[int, int]
Slow = Callable[[list[int], Grades, int], float]


def recall(rows: list[int], grades: Grades, k: int) -> float:
    return sum(row in grades for row in rows[:k]) / len(grades)


def precision(rows: list[int], grades: Grades, k: int) -> float:
    return sum(row in grades for row in rows[:k]) / k


def precision_of_set(rows: list[int], grades: Grades, k: int) -> float:
    return sum(row in grades for row in rows[:k]) / len(rows[:k]) if rows else 0.0


def reciprocal_rank(rows: list[int], grades: Grades, k: int) -> float:
    return next((1 / rank for rank, row in enumerate(rows[:k], 1) if row in grades), 0.0)


def average_precision(rows: list[int], grades: Grades, k: int) -> float:
    found = [rank for rank, row in enumerate(rows, 1) if row in grades]
    return sum(count / rank for count, rank in enumerate(found, 1)) / len(grades)


def ndcg(rows: list[int], grades: Grades, k: int) -> float:
    def gain(values: Sequence[int]) -> float:
        return sum(value / math.log2(rank + 1) for rank, value in enumerate(values[:k], 1))

    return gain([grades.get(row, 0) for row in rows]) / gain(sorted(grades.values(), reverse=True))


METRICS: dict[str, tuple[RankingMetrics, Slow]] = {
    "recall": (IrMeasures(), recall),
    "precision": (IrMeasures(), precision),
    "mrr": (IrMeasures(), reciprocal_rank),
    "ndcg": (IrMeasures(), ndcg),
    "map": (IrMeasures(), average_precision),
    "ragas_id_precision": (RagasMetrics(), precision_of_set),
    "ragas_id_recall": (RagasMetrics(), recall),
}


@pytest.fixture(params=list(METRICS))
def metric(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def hits_of(lists: Sequence[Sequence[int]], width: int = 6, tied: bool = False) -> Hits:
    rows = np.full((len(lists), width), -1, np.int64)
    scores = np.full((len(lists), width), -np.inf, np.float32)
    for query, ranked in enumerate(lists):
        rows[query, : len(ranked)] = ranked
        scores[query, : len(ranked)] = 1.0 if tied else -np.arange(len(ranked))
    return Hits(rows, scores)


def named(metric: str, k: int) -> str:
    return metric if metric == "map" else f"{metric}@{k}"


RANKED = st.lists(st.integers(0, 9), unique=True, max_size=6)
GRADED = st.dictionaries(st.integers(0, 9), st.integers(1, 3), min_size=1, max_size=4)


@pytest.mark.parametrize("metric", list(METRICS))
@given(st.lists(st.tuples(RANKED, GRADED), min_size=1, max_size=5), st.integers(1, 7), st.booleans())
@settings(max_examples=15, deadline=None)
def test_each_metric_is_its_formula_in_the_order_of_the_hits(
    metric: str, cases: list[tuple[list[int], Grades]], k: int, tied: bool
) -> None:
    adapter, slow = METRICS[metric]
    hits = hits_of([ranked for ranked, _ in cases], tied=tied)
    found = adapter.score(hits, [grades for _, grades in cases], [named(metric, k)])[named(metric, k)]
    np.testing.assert_allclose(found, [slow(ranked, grades, k) for ranked, grades in cases], atol=1e-9)
    assert ((found >= 0) & (found <= 1 + 1e-12)).all()


def test_a_query_without_hits_scores_nothing(metric: str) -> None:
    adapter, _ = METRICS[metric]
    assert adapter.score(hits_of([[], [1]]), [{1: 1}, {1: 1}], [named(metric, 3)])[named(metric, 3)][0] == 0.0


def test_no_query_has_no_value(metric: str) -> None:
    adapter, _ = METRICS[metric]
    assert adapter.score(hits_of([]), [], [named(metric, 3)])[named(metric, 3)].shape == (0,)


@pytest.mark.parametrize("name", ["accuracy", "mrr@0", "ndcg@ten", "ragas_id_precision@-1"])
@pytest.mark.parametrize("adapter", [IrMeasures(), RagasMetrics()], ids=["ir-measures", "ragas"])
def test_an_unknown_metric_is_refused(adapter: RankingMetrics, name: str) -> None:
    with pytest.raises(UsageError, match="metric"):
        adapter.score(hits_of([[1]]), [{1: 1}], [name])


@pytest.mark.parametrize(
    ("lists", "relevant"),
    [([[1]], []), ([[1]], [{}]), ([[1]], [{1: 0}]), ([[1, 2, 1]], [{1: 1}])],
    ids=["counts", "nothing relevant", "grade 0", "twice"],
)
def test_what_cannot_be_scored_is_refused(
    metric: str, lists: list[list[int]], relevant: list[Grades]
) -> None:
    adapter, _ = METRICS[metric]
    with pytest.raises(UsageError, match="metrics"):
        adapter.score(hits_of(lists), relevant, [named(metric, 3)])

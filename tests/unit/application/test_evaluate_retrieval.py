"""A tuned encoder's rankings judged beside its controls."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np
import pytest
from fakes.stores import MemoryRunStore, MemorySpool
from numpy.typing import NDArray

from fusionapp.adapters.ir_measures.metrics import IrMeasures
from fusionapp.application.ports.ranking_metrics import RankingMetrics
from fusionapp.application.ports.vector_index import Hits
from fusionapp.application.services.evaluate_retrieval import EvaluateRetrieval, RetrievalEvaluation
from fusionapp.application.services.load_pairs import SearchProblem
from fusionapp.application.services.rank_documents import Ranking
from fusionapp.domain.examples import Example
from fusionapp.entrypoints.leaderboards import leaderboard_csv
from fusionapp.entrypoints.retrieval.reports import (
    evaluation_json,
    leaderboard_markdown,
    read_evaluation,
    write_evaluation,
)

QUERIES, DOCUMENTS = 40, 60
METRICS = ("ndcg@10", "recall@1")


def problem(split: str) -> SearchProblem:
    spool = MemorySpool()
    queries = [Example(f"query {row}", None, {"id": f"q{row}"}) for row in range(QUERIES)]
    documents = [Example(f"document {row}", None, {"id": f"d{row}"}) for row in range(DOCUMENTS)]
    return SearchProblem(
        spool.write(f"{split}.queries", queries),
        spool.write(f"{split}.documents", documents),
        [{row: 1} for row in range(QUERIES)],
    )


VALIDATION, TEST = problem("validation"), problem("test")


def hits(share: float, seed: int = 0) -> Hits:
    """Rankings in which that share of the queries have their document first, and the others last of ten."""
    random = np.random.default_rng(seed)
    first = random.permutation(QUERIES) < round(share * QUERIES)
    rows = np.stack([np.arange(row + 1, row + 11) % DOCUMENTS for row in range(QUERIES)])
    rows[first, 0] = np.arange(QUERIES)[first]
    rows[~first, 9] = np.arange(QUERIES)[~first]
    return Hits(rows, np.tile(np.linspace(1, 0, 10, dtype=np.float32), (QUERIES, 1)))


def ranking(name: str, validation: float, *test: float, note: str = "") -> Ranking:
    return Ranking(
        name,
        [hits(validation) for _ in test],
        [hits(share, seed) for seed, share in enumerate(test)],
        1.5,
        note,
    )


RANKINGS = (
    ranking("tuned", 0.8, 0.9, 0.8),
    ranking("hybrid", 0.9, 0.95, 0.95, note="0.5 dense + 0.5 bm25"),
    ranking("untuned", 0.3, 0.2),
    ranking("bm25", 0.7, 0.85),
)


class CountOfHits(RankingMetrics):
    """A set metric that says how many documents there were."""

    def score(
        self, hits: Hits, relevant: Sequence[Mapping[int, int]], metrics: Sequence[str]
    ) -> Mapping[str, NDArray[np.float64]]:
        return {name: (hits.rows >= 0).sum(axis=1).astype(np.float64) / 10 for name in metrics}


def evaluate(
    rankings: Sequence[Ranking] = RANKINGS, runs: MemoryRunStore | None = None, **how: Any
) -> RetrievalEvaluation:
    step = EvaluateRetrieval(IrMeasures(), runs or MemoryRunStore(), how.pop("sets", None))
    return step(
        "test", how.pop("validation", VALIDATION), TEST, rankings, METRICS, 300, how.pop("skipped", {}), **how
    )


def test_the_first_ranking_is_the_result_and_the_rest_are_controls() -> None:
    found = evaluate()
    assert set(found.controls) == {"hybrid", "untuned", "bm25"}
    assert (found.queries, found.documents) == (QUERIES, DOCUMENTS)
    # Of seeds that find 90 % and 80 % first, and the others tenth.
    assert found.result["mrr@10"].mean == pytest.approx(np.mean([0.9 + 0.01, 0.8 + 0.02]))
    assert found.result["recall@1"].mean == pytest.approx(0.85)
    assert found.result["recall@1"].sd == pytest.approx(np.std([0.9, 0.8], ddof=1))


def test_verdicts_are_on_the_reciprocal_rank_whatever_else_is_measured() -> None:
    found = evaluate()
    assert set(found.result) == {"mrr@10", *METRICS}
    assert found.verdicts["untuned"] == "better"
    assert found.verdicts["bm25"] == "not separable"
    estimate = found.result["mrr@10"].mean - found.controls["untuned"]["mrr@10"].mean
    assert found.differences["untuned"].estimate == pytest.approx(estimate)


def test_the_hybrid_is_compared_with_everyone_else_too() -> None:
    found = evaluate()
    assert set(found.hybrid_verdicts) == set(found.hybrid_differences) == {"tuned", "untuned", "bm25"}
    assert found.hybrid == found.controls["hybrid"]
    alone = evaluate([RANKINGS[0], RANKINGS[2]])
    assert (alone.hybrid, alone.hybrid_verdicts) == (None, {})


def test_the_leaderboard_stands_in_the_order_of_validation() -> None:
    rows = evaluate().leaderboard
    assert [row.name for row in rows] == ["hybrid", "tuned", "bm25", "untuned"]
    assert [row.verdict for row in rows if row.name == "tuned"] == [""]
    assert rows[0].note == "0.5 dense + 0.5 bm25"


def test_every_querys_numbers_are_kept() -> None:
    runs = MemoryRunStore()
    found = evaluate(runs=runs)
    table = runs.tables["scores/test/tuned.parquet"]
    assert list(table["query_id"]) == [f"q{row}" for row in range(QUERIES)]
    kept = np.mean([table["mrr@10_0"].mean(), table["mrr@10_1"].mean()])
    assert kept == pytest.approx(found.result["mrr@10"].mean)
    assert table["documents_0"].shape == (QUERIES, 10)
    assert set(runs.tables) == {
        f"scores/test/{name}.parquet" for name in ("tuned", "hybrid", "untuned", "bm25")
    }


def test_metrics_of_sets_are_added_by_their_plain_names() -> None:
    found = evaluate(sets=CountOfHits())
    assert found.result["ragas_id_precision"].mean == found.result["ragas_id_recall"].mean == 1.0


def test_an_evaluation_is_read_back_as_it_was_written_unless_its_basis_changed() -> None:
    runs = MemoryRunStore()
    found = evaluate(skipped={"openai": "skipped: no key"}, vectors=[{"dim": 8, "recall@10": 0.5}])
    write_evaluation(runs, found, "basis")
    read = read_evaluation(runs, "test", "basis")
    assert read is not None
    assert evaluation_json(read) == evaluation_json(found)
    assert read_evaluation(runs, "test", "other") is None
    assert read_evaluation(runs, "validation", "basis") is None


def test_leaderboards_for_papers_have_a_line_for_each_contender() -> None:
    found = evaluate(skipped={"openai": "skipped: no key"})
    markdown = leaderboard_markdown(found)
    for name in ("tuned", "untuned", "bm25", "openai", "skipped: no key"):
        assert name in markdown
    header, *rows = csv.reader(leaderboard_csv(found.leaderboard).splitlines())
    assert [row[0] for row in rows] == ["hybrid", "tuned", "bm25", "untuned"]
    column = header.index("mrr@10_mean")
    assert float(rows[1][column]) == pytest.approx(found.result["mrr@10"].mean)


UNVALIDATED = tuple(
    attrs.evolve(one, validation=[])
    for one in (ranking("untuned", 0, 0.2), ranking("hybrid", 0, 0.4), ranking("bm25", 0, 0.85))
)


def test_without_validation_rows_stay_as_they_came_and_have_no_validation() -> None:
    found = evaluate(UNVALIDATED, validation=None)
    assert [(row.name, row.validation) for row in found.leaderboard] == [
        ("untuned", None),
        ("hybrid", None),
        ("bm25", None),
    ]
    assert not found.chosen
    assert found.contender == "untuned"
    assert (found.verdicts["bm25"], found.leaderboard[2].verdict) == ("worse", "worse")


def test_without_validation_the_tables_leave_its_column_empty_and_say_that_nothing_was_chosen() -> None:
    found = evaluate(UNVALIDATED, validation=None)
    markdown = leaderboard_markdown(found)
    assert "| untuned is |" in markdown
    assert "| bm25 |  | " in markdown
    assert "nothing was chosen" in markdown
    assert "in the order of validation" not in markdown
    header, *rows = csv.reader(leaderboard_csv(found.leaderboard).splitlines())
    assert [row[header.index("validation")] for row in rows] == ["", "", ""]
    assert [row["validation"] for row in evaluation_json(found)["leaderboard"]] == [None] * 3


def test_an_evaluation_without_validation_is_read_back_as_it_was_written() -> None:
    runs = MemoryRunStore()
    found = evaluate(UNVALIDATED, validation=None)
    write_evaluation(runs, found, "basis")
    read = read_evaluation(runs, "test", "basis")
    assert read is not None
    assert evaluation_json(read) == evaluation_json(found)
    assert leaderboard_markdown(read) == leaderboard_markdown(found)


def test_a_result_with_validation_is_said_to_be_chosen_by_it() -> None:
    markdown = leaderboard_markdown(evaluate())
    assert "| tuned is |" in markdown
    assert "in the order of validation" in markdown

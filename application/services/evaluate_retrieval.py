"""Judge an encoder's rankings beside every control, query by query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.ranking_metrics import RankingMetrics
from fusionapp.application.ports.run_store import Column, RunStore
from fusionapp.application.ports.vector_index import Hits
from fusionapp.application.services.load_pairs import SearchProblem
from fusionapp.application.services.rank_documents import Ranking
from fusionapp.domain.embeddings import Json
from fusionapp.domain.scores import Summary
from fusionapp.domain.statistics.bootstrap import Difference
from fusionapp.domain.statistics.holm import holm
from fusionapp.domain.statistics.query_values import JudgedValues, compare_values, judge_values
from fusionapp.domain.statistics.verdict import Verdict, verdict

VERDICT_ON = "mrr@10"
"""The metric that verdicts are on and contenders are ranked by, where there is a validation split."""

RAGAS_METRICS = ("ragas_id_precision@10", "ragas_id_recall@10")


@attrs.frozen
class RetrievalRow:
    """One contender with its numbers.

    Attributes:
        name: as printed.
        validation: mean validation MRR@10, which the leaderboard is ranked by; None without such a split.
        metrics: on the split that was judged.
        seconds: what its rankings took, training included.
        note: what was chosen on validation, or taken without a choice.
        verdict: the result against this control; "" for the result itself.
    """

    name: str
    validation: float | None
    metrics: Mapping[str, Summary]
    seconds: float
    note: str
    verdict: Verdict | str


@attrs.frozen
class RetrievalEvaluation:
    """An encoder, tuned or as it came, beside its controls.

    Attributes:
        split: which split was scored.
        queries: how many.
        documents: how many they were searched in.
        result: the encoder alone, the mean of seeds.
        controls: by name.
        verdicts: the result against each control, on MRR@10, corrected by Holm.
        differences: MRR@10 of the result less each control's.
        hybrid: the encoder with words; None without controls.
        hybrid_verdicts: the hybrid against each other contender, corrected by Holm among themselves.
        hybrid_differences: MRR@10 of the hybrid less each other contender's.
        leaderboard: every contender, ranked by validation MRR@10; as they came, where there is no validation.
        skipped: contenders that were left out, and why.
        vectors: what shorter and coarser vectors of the result lose, one row each; empty where not asked for.
        contender: what the result is called: tuned, or untuned.
    """

    split: str
    queries: int
    documents: int
    result: Mapping[str, Summary]
    controls: Mapping[str, Mapping[str, Summary]]
    verdicts: Mapping[str, Verdict]
    differences: Mapping[str, Difference]
    hybrid: Mapping[str, Summary] | None
    hybrid_verdicts: Mapping[str, Verdict]
    hybrid_differences: Mapping[str, Difference]
    leaderboard: Sequence[RetrievalRow]
    skipped: Mapping[str, str]
    vectors: Sequence[Mapping[str, Json]] = ()
    contender: str = "tuned"

    @property
    def chosen(self) -> bool:
        """Whether there was a validation split to choose by."""
        return all(row.validation is not None for row in self.leaderboard)


@attrs.frozen(eq=False)
class _Judged:
    """A contender's numbers, query by query.

    Attributes:
        ranking: the contender.
        validation: mean validation MRR@10; None without such a split.
        values: by metric (seeds, queries).
        metrics: the same, summed up.
        judged: mean MRR@10 with its replicates.
    """

    ranking: Ranking
    validation: float | None
    values: Mapping[str, NDArray[np.float64]]
    metrics: Mapping[str, Summary]
    judged: JudgedValues


@attrs.frozen
class EvaluateRetrieval:
    """Turns rankings into an evaluation.

    Attributes:
        measures: computes metrics of ranked lists.
        runs: the run directory, which receives every query's numbers.
        sets: computes metrics of the ten best as a set; None where they are not wanted.
    """

    measures: RankingMetrics
    runs: RunStore
    sets: RankingMetrics | None = None

    def __call__(
        self,
        split: str,
        validation: SearchProblem | None,
        test: SearchProblem,
        rankings: Sequence[Ranking],
        metrics: Sequence[str],
        draws: int,
        skipped: Mapping[str, str],
        vectors: Sequence[Mapping[str, Json]] = (),
    ) -> RetrievalEvaluation:
        """Judge by `test`.

        Args:
            split: its name.
            validation: what was chosen by; None where nothing was.
            test: what is judged by.
            rankings: the result first; one named "hybrid" is compared with all others as well.
            metrics: by name.
            draws: of the bootstrap, over queries.
            skipped: contenders that were left out, and why.
            vectors: the table of shorter vectors, passed through.
        """
        query_ids = [str(id["id"]) for id in test.queries.ids()]
        judged = [self._judge(one, validation, test, metrics, draws) for one in rankings]
        for one in judged:
            self._keep(split, one, query_ids)
        result, others = judged[0], judged[1:]
        differences, verdicts = _compare(result, others)
        hybrid = next((one for one in others if one.ranking.name == "hybrid"), None)
        rest = [] if hybrid is None else [one for one in judged if one is not hybrid]
        hybrid_differences, hybrid_verdicts = ({}, {}) if hybrid is None else _compare(hybrid, rest)
        rows = [
            RetrievalRow(
                one.ranking.name,
                one.validation,
                one.metrics,
                one.ranking.seconds,
                one.ranking.note,
                verdicts.get(one.ranking.name, ""),
            )
            for one in judged
        ]
        return RetrievalEvaluation(
            split=split,
            queries=test.queries.rows,
            documents=test.documents.rows,
            result=result.metrics,
            controls={one.ranking.name: one.metrics for one in others},
            verdicts=verdicts,
            differences=differences,
            hybrid=None if hybrid is None else hybrid.metrics,
            hybrid_verdicts=hybrid_verdicts,
            hybrid_differences=hybrid_differences,
            # Stable: rows without validation stay as they came.
            leaderboard=sorted(rows, key=lambda row: -(row.validation or 0.0)),
            skipped=dict(skipped),
            vectors=list(vectors),
            contender=result.ranking.name,
        )

    def _judge(
        self,
        ranking: Ranking,
        validation: SearchProblem | None,
        test: SearchProblem,
        metrics: Sequence[str],
        draws: int,
    ) -> _Judged:
        wanted = list(dict.fromkeys((VERDICT_ON, *metrics)))
        values = _stack([self._score(hits, test, wanted) for hits in ranking.test])
        judged = {name: judge_values(each, draws) for name, each in values.items()}
        return _Judged(
            ranking,
            None if validation is None else self._mean(ranking.validation, validation),
            values,
            {name: one.summary for name, one in judged.items()},
            judged[VERDICT_ON],
        )

    def _mean(self, rankings: Sequence[Hits], problem: SearchProblem) -> float:
        scored = [self.measures.score(hits, problem.relevant, [VERDICT_ON]) for hits in rankings]
        return float(np.mean([one[VERDICT_ON].mean() for one in scored]))

    def _score(
        self, hits: Hits, problem: SearchProblem, metrics: Sequence[str]
    ) -> Mapping[str, NDArray[np.float64]]:
        found = dict(self.measures.score(hits, problem.relevant, metrics))
        if self.sets is not None:
            for name, values in self.sets.score(hits, problem.relevant, RAGAS_METRICS).items():
                found[name.partition("@")[0]] = values
        return found

    def _keep(self, split: str, judged: _Judged, query_ids: Sequence[str]) -> None:
        name = judged.ranking.name.replace(" ", "-")
        columns: dict[str, Column] = {"query_id": query_ids}
        for seed, hits in enumerate(judged.ranking.test):
            columns |= {f"{metric}_{seed}": values[seed] for metric, values in judged.values.items()}
            columns[f"documents_{seed}"] = hits.rows[:, :10]
        self.runs.write_table(f"scores/{split}/{name}.parquet", columns)


def _stack(
    scored: Sequence[Mapping[str, NDArray[np.float64]]],
) -> dict[str, NDArray[np.float64]]:
    return {name: np.stack([one[name] for one in scored]) for name in scored[0]}


def _compare(first: _Judged, others: Sequence[_Judged]) -> tuple[dict[str, Difference], dict[str, Verdict]]:
    differences = {one.ranking.name: compare_values(first.judged, one.judged) for one in others}
    adjusted = holm({name: difference.p_value for name, difference in differences.items()})
    return differences, {
        name: verdict(difference.interval, adjusted[name]) for name, difference in differences.items()
    }

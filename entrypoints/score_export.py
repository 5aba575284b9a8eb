"""Evaluated runs as models that a router chooses between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from fusionapp.application.services.score_matrix_of_runs import (
    EvaluatedRun,
    ScoreMatrixOfRuns,
    WrittenScores,
)
from fusionapp.domain.errors import UsageError
from fusionapp.entrypoints.experiment.kinds import refuse_other_run
from fusionapp.entrypoints.inspection import open_run


def export_scores(
    places: Sequence[Path], output: Path, split: str = "test", costs: Mapping[str, float] | None = None
) -> WrittenScores:
    """Write which of several evaluated runs is right on which text, as JSON lines.

    Runs go by their directory's name.

    Raises:
        UsageError: a run is no classification or not evaluated, or they are over different texts.
        CorruptArtifactError: scores were changed.
    """
    from fusionapp.adapters.exports.answer_lines import JsonLinesAnswerFile

    evaluated = []
    for place in places:
        refuse_other_run(place)
        gateways = open_run(place)[0].gateways
        evaluated.append(EvaluatedRun(place.resolve().name, gateways.runs(), gateways.spool()))
    return ScoreMatrixOfRuns(JsonLinesAnswerFile())(evaluated, str(output), split, costs)


def read_costs(given: Sequence[str]) -> dict[str, float]:
    """Costs from ``RUN=USD``, RUN being the directory's name or its path.

    Raises:
        UsageError: a cost is no number, or a run has two.
    """
    costs: dict[str, float] = {}
    for one in given:
        run, _, amount = one.rpartition("=")
        name = Path(run).name
        try:
            cost = float(amount)
        except ValueError:
            raise UsageError(f"--cost {one}: expected RUN=USD, such as minilm=0.00002") from None
        if not name or name in costs:
            raise UsageError(
                f"--cost {one}: " + ("names no run" if not name else f"{name!r} has a cost already")
            )
        costs[name] = cost
    return costs

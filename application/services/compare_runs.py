"""Compare two evaluated runs on the same texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.run_store import RunStore
from fusionapp.application.services.train_rounds import ROUNDS
from fusionapp.domain.errors import UsageError
from fusionapp.domain.scores import Scores, Summary, compare, judge
from fusionapp.domain.statistics.bootstrap import Difference
from fusionapp.domain.statistics.mcnemar import McNemar, mcnemar
from fusionapp.domain.statistics.verdict import Verdict, verdict

Table = Mapping[str, NDArray[Any]]


@attrs.frozen
class Comparison:
    """Two runs side by side.

    Attributes:
        split: which split.
        rows: examples that both scored.
        first: the first run's metrics, mean of seeds.
        second: the second run's.
        difference: accuracy of the first less the second's.
        verdict: of the first against the second.
        mcnemar: of the two ensembles.
    """

    split: str
    rows: int
    first: Mapping[str, Summary]
    second: Mapping[str, Summary]
    difference: Difference
    verdict: Verdict
    mcnemar: McNemar


@attrs.frozen
class CompareRuns:
    """Pairs per-example scores; nothing is trained or scored again."""

    def __call__(self, first: RunStore, second: RunStore, split: str, draws: int) -> Comparison:
        """The comparison of two runs.

        Raises:
            UsageError: a run is not evaluated, or they scored different rows.
            CorruptArtifactError: scores were changed.
        """
        left, right = scores_table(first, split), scores_table(second, split)
        if any(list(left[column]) != list(right[column]) for column in ("row", "id", "label")):
            raise UsageError(
                f"{first.directory} and {second.directory} scored different rows of {split!r}; "
                "only runs on the same texts can be paired"
            )
        names = sorted({str(label) for table in (left, right) for label in _said(table)})
        index = {name: position for position, name in enumerate(names)}
        labels = _encode(left["label"], index)
        judged = [judge(_scores(table, index), labels, draws) for table in (left, right)]
        difference = compare(judged[0], judged[1])
        return Comparison(
            split=split,
            rows=len(labels),
            first=judged[0].metrics,
            second=judged[1].metrics,
            difference=difference,
            verdict=verdict(difference.interval, difference.p_value),
            mcnemar=mcnemar(
                _encode(left["ensemble"], index) == labels, _encode(right["ensemble"], index) == labels
            ),
        )


def scores_table(runs: RunStore, split: str) -> Table:
    """What an evaluated run's heads said of each example of a split; columns as of `write_scores`.

    Raises:
        UsageError: the split is not evaluated.
        CorruptArtifactError: scores were changed.
    """
    try:
        return runs.read_table(f"scores/{split}/result.parquet")
    except UsageError as error:
        rounds = runs.read_document(ROUNDS)
        if rounds is not None and split == "test":
            raise UsageError(
                f"{runs.directory}: few-shot draws are compared one by one once they are evaluated; "
                f"name one of each run, such as {runs.directory}/protocol/{rounds['rounds'][0]['name']}"
            ) from error
        raise UsageError(
            f"{runs.directory}: split {split!r} is not evaluated; run `fusionapp evaluate` first"
        ) from error


def _runs_of(table: Table) -> list[str]:
    """Columns that hold a seed's predicted labels."""
    return [name for name in table if name.startswith("seed") and not name.endswith("_probability")]


def _said(table: Table) -> set[str]:
    columns = ("label", "ensemble", *_runs_of(table))
    return {str(label) for column in columns for label in table[column]}


def _encode(labels: NDArray[Any], index: Mapping[str, int]) -> NDArray[np.int64]:
    return np.array([index[str(label)] for label in labels], dtype=np.int64)


def _scores(table: Table, index: Mapping[str, int]) -> Scores:
    return Scores(np.stack([_encode(table[name], index) for name in _runs_of(table)]))

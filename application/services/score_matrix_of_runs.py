"""Several classifiers' rights and wrongs on the same texts, as models that a router chooses between."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.answer_file import AnswerFile
from fusionapp.application.ports.run_store import RunStore
from fusionapp.application.ports.spool import Spool
from fusionapp.application.services.compare_runs import Table, scores_table
from fusionapp.application.services.inventories import INVENTORY
from fusionapp.application.services.pair_stage import examples_of
from fusionapp.domain.embeddings import Json
from fusionapp.domain.errors import UsageError
from fusionapp.domain.examples import Example
from fusionapp.domain.repeats import digest_texts
from fusionapp.domain.routing.rows import ScoreRow


@attrs.frozen
class EvaluatedRun:
    """A run whose classifier was evaluated.

    Attributes:
        name: what the matrix calls it.
        runs: its directory.
        spool: its texts.
    """

    name: str
    runs: RunStore
    spool: Spool


@attrs.frozen
class WrittenScores:
    """What was written.

    Attributes:
        path: where.
        split: which split's texts.
        texts: how many.
        accuracy: by run: the share that its ensemble of seeds got right.
        seconds: by run: what embedding a text took when that was done; without runs where it was never measured.
        costs: by run: of a text; empty where they are unknown.
        unit: what costs are in; None where they are unknown.
    """

    path: str
    split: str
    texts: int
    accuracy: Mapping[str, float]
    seconds: Mapping[str, float]
    costs: Mapping[str, float]
    unit: Literal["USD", "seconds"] | None


@attrs.frozen
class ScoreMatrixOfRuns:
    """Reads per-example scores; nothing is scored again.

    Attributes:
        file: writes the matrix.
    """

    file: AnswerFile

    def __call__(
        self,
        evaluated: Sequence[EvaluatedRun],
        path: str,
        split: str = "test",
        costs: Mapping[str, float] | None = None,
    ) -> WrittenScores:
        """Write a row for each text: each run's score is 1 where its ensemble is right, else 0.

        Args:
            evaluated: two runs or more.
            path: where to.
            split: whose texts.
            costs: USD of a text by run, for all or for none. Without, a text costs the seconds that embedding it
                took, where these are known of all runs.

        Raises:
            UsageError: fewer than two runs, names that are not unique, costs of some runs alone, a run that is
                not evaluated, or runs over different texts.
            CorruptArtifactError: scores or texts were changed.
        """
        _check_names([run.name for run in evaluated], costs or {})
        tables = [scores_table(run.runs, split) for run in evaluated]
        _check_texts(evaluated, tables, split)
        right = {
            run.name: np.asarray(table["ensemble"] == table["label"], dtype=np.bool_)
            for run, table in zip(evaluated, tables, strict=True)
        }
        seconds = {
            run.name: spent for run in evaluated if (spent := _seconds_a_text(run.runs, split)) is not None
        }
        spent_by_all = seconds if len(seconds) == len(evaluated) else {}
        chosen = dict(costs or spent_by_all)
        unit: Literal["USD", "seconds"] | None = "USD" if costs else ("seconds" if chosen else None)
        examples = examples_of(evaluated[0].spool.read(split), tables[0]["row"])
        self.file.write(path, _rows(examples, right, chosen, seconds))
        return WrittenScores(
            path,
            split,
            len(tables[0]["row"]),
            {name: float(values.mean()) for name, values in right.items()},
            seconds,
            chosen,
            unit,
        )


def _rows(
    examples: Iterator[Example],
    right: Mapping[str, NDArray[np.bool_]],
    costs: Mapping[str, float],
    seconds: Mapping[str, float],
) -> Iterator[ScoreRow]:
    for place, example in enumerate(examples):
        scores = {name: float(values[place]) for name, values in right.items()}
        id = "/".join(str(value) for value in example.id.values())
        yield ScoreRow(example.text, id, None, scores, costs, seconds)


def _check_names(names: Sequence[str], costs: Mapping[str, float]) -> None:
    if len(names) < 2:
        raise UsageError(
            f"{', '.join(names) or 'no run'}: a router chooses between two runs or more; name them"
        )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(
            f"two runs are called {twice[0]!r}; a matrix needs names that differ: rename a directory"
        )
    unknown, missing = set(costs) - set(names), set(names) - set(costs)
    if unknown:
        raise UsageError(
            f"cost of {', '.join(map(repr, sorted(unknown)))}: no such run; the runs are {', '.join(names)}"
        )
    if costs and missing:
        raise UsageError(
            f"cost of {', '.join(map(repr, sorted(missing)))} is missing; give it for every run or none"
        )
    for name, cost in costs.items():
        if not 0 <= cost < float("inf"):
            raise UsageError(f"cost of {name!r}: expected USD a text, at least 0, got {cost}")


def _check_texts(evaluated: Sequence[EvaluatedRun], tables: Sequence[Table], split: str) -> None:
    first = _digests(evaluated[0], tables[0], split)
    for run, table in zip(evaluated[1:], tables[1:], strict=True):
        alike = all(list(tables[0][column]) == list(table[column]) for column in ("row", "label"))
        if not alike or not np.array_equal(first, _digests(run, table, split)):
            raise UsageError(
                f"{evaluated[0].runs.directory} and {run.runs.directory} scored different texts or labels of "
                f"{split!r}; a router learns from runs on the same texts"
            )


def _digests(run: EvaluatedRun, table: Table, split: str) -> NDArray[np.uint64]:
    return digest_texts(example.text for example in examples_of(run.spool.read(split), table["row"]))


def _seconds_a_text(runs: RunStore, split: str) -> float | None:
    """What all encoders of a run spent on a text of a split; None where one was not run here."""
    inventory: Mapping[str, Json] = runs.read_document(INVENTORY) or {}
    total = 0.0
    for encoder in inventory.get("encoders", {}).values():
        place = encoder["sets"].get(split, {})
        if not place.get("seconds") or not place.get("encoded_rows"):
            return None
        total += place["seconds"] / place["encoded_rows"]
    return total or None

"""Evaluated classifiers as models that a router chooses between."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.stores import MemoryRunStore, MemorySpool

from fusionapp.adapters.exports.answer_lines import JsonLinesAnswerFile
from fusionapp.adapters.files import FileAnswerSource
from fusionapp.application.services.score_matrix_of_runs import (
    EvaluatedRun,
    ScoreMatrixOfRuns,
    WrittenScores,
)
from fusionapp.domain.errors import UsageError
from fusionapp.domain.examples import Example
from fusionapp.domain.routing.answer_columns import answer_columns
from fusionapp.domain.routing.rows import ScoreRow
from fusionapp.entrypoints.score_export import read_costs

LABELS = ["joy", "grief", "joy"]
TEXTS = ["left out", "happy fox", "sad\nrain", "编码"]


def evaluated(
    name: str,
    said: Sequence[str],
    labels: Sequence[str] = LABELS,
    texts: Sequence[str] = TEXTS,
    seconds: Sequence[float] = (),
) -> EvaluatedRun:
    """A run whose first text was quarantined; each encoder spent so many seconds on ten texts."""
    runs, spool = MemoryRunStore(), MemorySpool()
    columns: dict[str, Any] = {
        "row": np.arange(1, len(labels) + 1),
        "id": [json.dumps({"id": str(row)}) for row in range(1, len(labels) + 1)],
        "label": list(labels),
        "seed-0": ["joy"] * len(labels),
        "ensemble": list(said),
    }
    runs.write_table("scores/test/result.parquet", columns)
    spool.write("test", [Example(text, None, {"paper": "x", "part": row}) for row, text in enumerate(texts)])
    sets = [{"test": {"seconds": spent, "encoded_rows": 10 if spent else 0}} for spent in seconds]
    runs.write_document(
        "embeddings.json", {"encoders": {f"e{n}": {"sets": place} for n, place in enumerate(sets)}}
    )
    return EvaluatedRun(name, runs, spool)


GOOD, BAD = ["joy", "grief", "joy"], ["joy", "joy", "joy"]


def write(path: Path, *runs: EvaluatedRun, **how: Any) -> tuple[WrittenScores, list[ScoreRow]]:
    written = ScoreMatrixOfRuns(JsonLinesAnswerFile())(runs, str(path / "a.jsonl"), **how)
    rows = FileAnswerSource({"train": written.path}, answer_columns(id="id")).read("train")
    return written, [row for row in rows if isinstance(row, ScoreRow)]


def test_a_right_answer_of_the_ensemble_is_one_and_a_wrong_one_nought(tmp_path: Path) -> None:
    written, rows = write(tmp_path, evaluated("good", GOOD), evaluated("bad", BAD))
    assert [(row.prompt, row.id, dict(row.scores)) for row in rows] == [
        ("happy fox", "x/1", {"good": 1.0, "bad": 1.0}),
        ("sad\nrain", "x/2", {"good": 1.0, "bad": 0.0}),
        ("编码", "x/3", {"good": 1.0, "bad": 1.0}),
    ]
    assert written.accuracy == {"good": 1.0, "bad": pytest.approx(2 / 3)}
    assert (written.texts, written.unit, written.costs) == (3, None, {})


def test_measured_seconds_of_all_encoders_are_latency_and_cost(tmp_path: Path) -> None:
    runs = evaluated("good", GOOD, seconds=(2.0, 3.0)), evaluated("bad", BAD, seconds=(1.0,))
    written, rows = write(tmp_path, *runs)
    assert rows[0].latencies == rows[0].costs == {"good": 0.5, "bad": 0.1}
    assert written.unit == "seconds"


def test_given_costs_go_before_seconds(tmp_path: Path) -> None:
    runs = evaluated("good", GOOD, seconds=(2.0,)), evaluated("bad", BAD, seconds=(1.0,))
    written, rows = write(tmp_path, *runs, costs={"good": 2e-5, "bad": 0.0})
    assert rows[2].costs == {"good": 2e-5, "bad": 0.0}
    assert rows[2].latencies == {"good": 0.2, "bad": 0.1}
    assert written.unit == "USD"


def test_seconds_of_some_runs_are_no_cost(tmp_path: Path) -> None:
    runs = evaluated("good", GOOD, seconds=(2.0, 0.0)), evaluated("bad", BAD, seconds=(1.0,))
    written, rows = write(tmp_path, *runs)
    assert (written.unit, rows[0].costs, rows[0].latencies) == (None, {}, {"bad": 0.1})


@pytest.mark.parametrize(
    "other",
    [
        evaluated("bad", BAD, labels=["joy", "grief", "grief"]),
        evaluated("bad", BAD, texts=[*TEXTS[:3], "other"]),
        evaluated("bad", BAD[:2], labels=LABELS[:2]),
    ],
    ids=["labels", "texts", "rows"],
)
def test_runs_over_different_texts_are_refused(other: EvaluatedRun, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="scored different texts or labels of 'test'"):
        write(tmp_path, evaluated("good", GOOD), other)
    assert not list(tmp_path.iterdir())


def test_texts_that_no_run_scored_may_differ(tmp_path: Path) -> None:
    other = evaluated("bad", BAD, texts=["another", *TEXTS[1:]])
    assert write(tmp_path, evaluated("good", GOOD), other)[0].texts == 3


@pytest.mark.parametrize(
    ("names", "costs", "problem"),
    [
        (["a"], {}, "a: a router chooses between two runs or more"),
        (["a", "a"], {}, "two runs are called 'a'"),
        (["a", "b"], {"c": 1.0}, "cost of 'c': no such run; the runs are a, b"),
        (["a", "b"], {"a": 1.0}, "cost of 'b' is missing; give it for every run or none"),
        (["a", "b"], {"a": 1.0, "b": -1.0}, "cost of 'b': expected USD a text, at least 0, got -1.0"),
    ],
)
def test_names_and_costs_that_make_no_sense_are_refused(
    names: list[str], costs: dict[str, float], problem: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=problem):
        write(tmp_path, *(evaluated(name, GOOD) for name in names), costs=costs)


def test_a_run_that_is_not_evaluated_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match="split 'validation' is not evaluated; run `fusionapp evaluate` first"
    ):
        write(tmp_path, evaluated("a", GOOD), evaluated("b", BAD), split="validation")


def test_costs_are_given_by_run() -> None:
    assert read_costs(["runs/a=0.5", "b=c=1e-5"]) == {"a": 0.5, "b=c": 1e-5}


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (["a"], "expected RUN=USD"),
        (["a=much"], "expected RUN=USD"),
        (["=1"], "names no run"),
        (["a=1", "runs/a=2"], "'a' has a cost already"),
    ],
)
def test_costs_that_cannot_be_read_are_refused(given: list[str], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        read_costs(given)

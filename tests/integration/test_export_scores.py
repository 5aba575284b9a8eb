"""`fusionapp export scores`: trained classifiers as models of a router."""

from __future__ import annotations

import json
from pathlib import Path
from shutil import copytree

from command_line import call

from fusionapp.adapters.files import FileAnswerSource
from fusionapp.domain.routing.answer_columns import answer_columns
from fusionapp.domain.routing.rows import ScoreRow


def test_runs_on_the_same_texts_become_a_score_matrix(job: Path) -> None:
    if not (job / "runs/tiny/scores").is_dir():
        call(job, "evaluate", "tiny.toml", "--json")
    copytree(job / "runs/tiny", job / "runs/twin")
    written = call(
        job, "export", "scores", "runs/tiny", "runs/twin", "--output", "matrix.jsonl", "--cost", "tiny=2e-5",
        "--cost", "runs/twin=1e-5", "--json",
    ).json  # fmt: skip
    rows = [
        row
        for row in FileAnswerSource({"train": job / "matrix.jsonl"}, answer_columns(id="id")).read("train")
        if isinstance(row, ScoreRow)
    ]
    accuracy = sum(row.scores["tiny"] for row in rows) / len(rows)
    assert written["accuracy"] == {"tiny": accuracy, "twin": accuracy}
    assert (written["texts"], written["unit"]) == (len(rows), "USD")
    assert rows[0].costs == {"tiny": 2e-5, "twin": 1e-5}
    shown = call(job, "export", "scores", "runs/tiny", "runs/twin", "--output", "again.jsonl")
    assert "twin" in shown.out
    assert json.loads((job / "again.jsonl").read_text("utf-8").splitlines()[0])["prompt"] == rows[0].prompt


def test_one_run_is_no_choice(job: Path) -> None:
    ended = call(job, "export", "scores", "runs/tiny", "--output", "matrix.jsonl", code=2)
    assert "a router chooses between two runs or more" in ended.err
    assert not (job / "matrix.jsonl").exists()

"""The linear path through the commands: kept with the heads, asked with them, and missed where it is gone."""

from __future__ import annotations

import csv
import json
import shutil
import tomllib
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from command_line import call, flip, refused
from small_job import EXPERIMENT, Job

import fusionapp
from fusionapp.adapters.filesystem.run_directory import RunDirectory

PATH = "runs/tiny/models/linear"
FILES = ("linear.json", "linear.safetensors")


def rewrite(run: Path, name: str, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a document of a run as the run itself would have written it."""
    store = RunDirectory(run)
    document = store.read_document(name)
    assert document is not None
    change(document)
    store.write_document(name, document)


def test_a_path_is_kept_with_the_heads_and_covered_by_verify(job: Path) -> None:
    assert all((job / PATH / name).is_file() for name in FILES)
    for name in FILES:
        flip(job / PATH / name)
    report = call(job, "verify", "runs/tiny", "--json", code=3).json
    assert [problem["file"] for problem in report["problems"]] == [f"models/linear/{name}" for name in FILES]


def test_predict_says_what_evaluate_judged(finished: Job) -> None:
    scored = pq.read_table(finished.directory / "runs/tiny/scores/test/result.parquet").to_pydict()
    with (finished.directory / "test.csv").open(encoding="utf-8") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    said = call(finished.directory, "predict", "runs/tiny", stdin="\n".join(texts).encode()).lines
    assert [line["label"] for line in said] == scored["ensemble"]
    assert [line["probability"] for line in said] == pytest.approx(scored["ensemble_probability"], abs=5e-3)


def test_the_path_alone_is_judged_as_a_control(finished: Job) -> None:
    assert finished.evaluated["verdicts"]["linear path alone"] in ("better", "worse", "not separable")
    (row,) = [row for row in finished.evaluated["leaderboard"] if row["name"] == "linear path alone"]
    kept = json.loads((finished.directory / "runs/tiny/models/trained.json").read_text(encoding="utf-8"))[
        "path"
    ]
    assert row["validation"] == kept["validation"] == finished.trained["linear_path"]["validation"]
    assert (finished.directory / "runs/tiny/scores/test/linear-path-alone.parquet").is_file()


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("spoil", [flip, Path.unlink])
def test_a_path_that_is_damaged_or_gone_is_not_predicted_with(
    job: Path, name: str, spoil: Callable[[Path], None]
) -> None:
    spoil(job / PATH / name)
    message = refused(job, "predict", "runs/tiny", stdin=b"happy fox\n", code=3)
    assert f"{PATH}/{name}" in message
    assert "train again" in message


@pytest.mark.parametrize("spoil", [flip, Path.unlink])
def test_a_path_that_is_damaged_or_gone_is_not_evaluated_with(
    job: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(job / PATH / "linear.safetensors")
    message = refused(job, "evaluate", "tiny.toml", code=3)
    assert f"{PATH}/linear.safetensors" in message
    assert "train again" in message


def test_train_says_what_the_path_reaches_alone(job: Path) -> None:
    said = call(job, "train", "tiny.toml").out
    assert "they add to a linear path (C=0.1), which alone reaches a validation accuracy of 1.0000" in said


def lexical(directory: Path, **recipe: Any) -> dict[str, Any]:
    """The job over n-grams alone, which need no file but the run's own."""
    plain = tomllib.loads(EXPERIMENT)
    return {
        **plain,
        "name": "words",
        "dataset": {split: str(directory / f"{split}.csv") for split in ("train", "test")},
        "encoders": {"lexical": plain["encoders"]["lexical"]},
        "train": {**plain["train"], **recipe},
        "evaluate": {**plain["evaluate"], "baselines": False},
    }


def test_without_a_path_none_is_kept_and_none_is_needed(fresh: Path) -> None:
    with chdir(fresh):
        training = fusionapp.train(lexical(fresh, linear_path="none"))
        assert training.path is None
        assert not Path("runs/words/models/linear").exists()
        evaluation = fusionapp.evaluate(lexical(fresh, linear_path="none"))
        assert evaluation.controls == {}
        assert fusionapp.load("runs/words").predict(["happy fox"])[0].label in ("grief", "joy", "numbers")


def test_one_seed_finds_the_path_of_its_group_from_wherever_it_is_named(fresh: Path) -> None:
    with chdir(fresh):
        assert fusionapp.train(lexical(fresh)).path is not None
        named = fusionapp.load("runs/words/models/seed-1").predict(["happy fox"])
    for inside, name in (("seed-1", "."), ("seed-0", "../seed-1"), ("linear", "../seed-1")):
        with chdir(fresh / "runs/words/models" / inside):
            assert fusionapp.load(name).predict(["happy fox"]) == named


def test_a_head_that_was_moved_away_from_its_path_says_what_it_misses(job: Path) -> None:
    shutil.copytree(job / "runs/tiny/models/seed-0", job / "alone/seed-0")
    message = refused(job, "predict", "alone/seed-0", stdin=b"happy fox\n", code=3)
    assert "alone/linear/linear.json" in message


def _without_paths(job: Path) -> None:
    """Make the run one of a version that knew no linear paths."""
    run = job / "runs/tiny"

    def older(document: dict[str, Any]) -> None:
        for key in ("linear_path", "linear_folds", "linear_costs"):
            document["train"].pop(key)

    def trained_older(found: dict[str, Any]) -> None:
        older(found["carried"]["settings"])
        found.pop("path")

    rewrite(run, "experiment.json", older)
    rewrite(run, "models/trained.json", trained_older)
    for seed in (0, 1):
        rewrite(run, f"models/seed-{seed}/model.json", lambda model: model.pop("linear_path"))


def test_a_run_of_a_version_without_paths_is_refused_and_trained_anew_where_it_is_asked_to_be(
    job: Path,
) -> None:
    _without_paths(job)
    for command in ("train", "evaluate"):
        assert "train.linear_path" in refused(job, command, "tiny.toml", code=2)
    assert "lacks" in refused(job, "predict", "runs/tiny", stdin=b"happy fox\n", code=3)
    call(job, "train", "tiny.toml", "--overwrite")
    assert call(job, "predict", "runs/tiny", stdin=b"happy fox\n").lines

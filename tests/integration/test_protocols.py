"""k-fold and few-shot runs by command, over hashed n-grams alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import pyarrow.parquet as pq
import pytest
from command_line import call, flip
from small_job import write_rows

EXPERIMENT = """
name = "{name}"

[dataset]
train = "train.csv"
{dataset}

[encoders.lexical]
adapter = "lexical"
dim = 1024

[train]
seeds = 2
epochs = 3
hidden_dims = [8]
linear_path = "none"

[evaluate]
draws = 200
costs = [0.1, 1.0]
"""
DATASETS = {
    "folds": "folds = 3",
    "shots": 'test = "test.csv"\nshots = 4\ndraws = 3',
}
ROUNDS = {"folds": ["fold-0", "fold-1", "fold-2"], "shots": ["draw-0", "draw-1", "draw-2"]}


@attrs.frozen
class Protocol:
    """A trained and evaluated run, and what its commands printed."""

    name: str
    directory: Path
    trained: Any
    evaluated: Any


@pytest.fixture(scope="module", params=list(DATASETS))
def done(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Protocol:
    directory = tmp_path_factory.mktemp("protocol")
    write_rows(directory / "train.csv", 60, 1)
    write_rows(directory / "test.csv", 20, 2)
    text = EXPERIMENT.format(name=request.param, dataset=DATASETS[request.param])
    (directory / "e.toml").write_text(text, encoding="utf-8")
    printed = [call(directory, command, "e.toml", "--json").json for command in ("train", "evaluate")]
    return Protocol(request.param, directory, *printed)


def test_every_round_trains_a_model_a_seed(done: Protocol) -> None:
    directories = [Path(model["directory"]).as_posix() for model in done.trained["models"]]
    assert directories == [
        f"runs/{done.name}/protocol/{one}/models/seed-{seed}" for one in ROUNDS[done.name] for seed in (0, 1)
    ]


def test_trained_rounds_are_reused(done: Protocol) -> None:
    again = call(done.directory, "train", "e.toml", "--json").json
    assert again["reused"]
    assert again["models"] == done.trained["models"]


def test_the_evaluation_says_what_its_numbers_are_over(done: Protocol) -> None:
    report = done.evaluated
    assert report["protocol"]["kind"] == done.name
    assert [one["name"] for one in report["protocol"]["rounds"]] == ROUNDS[done.name]
    assert report["rows"] == (60 if done.name == "folds" else 20)
    assert set(report["controls"]) == set(report["verdicts"]) == {"linear_svm", "logistic_regression"}
    shown = call(done.directory, "evaluate", f"runs/{done.name}").out
    expected = {
        "folds": "Over 3 folds: each of 60 texts",
        "shots": "Over 3 draws of 4 texts a class from train",
    }
    assert expected[done.name] in shown
    report = Path(done.directory, "runs", done.name, "leaderboard-test.md").read_text(encoding="utf-8")
    assert expected[done.name] in report


def test_a_second_evaluation_prints_what_the_first_one_found(done: Protocol) -> None:
    assert call(done.directory, "evaluate", "e.toml", "--json").json == done.evaluated


def test_scores_of_every_text_are_kept(done: Protocol) -> None:
    run = done.directory / "runs" / done.name
    place = run if done.name == "folds" else run / "protocol" / "draw-1"
    table = pq.read_table(place / "scores" / "test" / "result.parquet")
    assert table.num_rows == done.evaluated["rows"]
    assert {"row", "id", "label", "seed-0", "seed-1", "ensemble"} <= set(table.column_names)


def test_the_whole_run_verifies_and_a_changed_round_is_found(done: Protocol) -> None:
    run = f"runs/{done.name}"
    assert call(done.directory, "verify", run, "--json").json["ok"]
    spoiled = Path(done.directory, run, "protocol", ROUNDS[done.name][1], "models", "trained.json")
    before = spoiled.read_text(encoding="utf-8")
    spoiled.write_text(before.replace("0", "1"), encoding="utf-8")
    try:
        found = call(done.directory, "verify", run, "--json", code=3).json
    finally:
        spoiled.write_text(before, encoding="utf-8")
    assert [problem["file"] for problem in found["problems"]] == [
        f"protocol/{ROUNDS[done.name][1]}/models/trained.json"
    ]


def test_a_damaged_head_of_a_round_is_trained_anew_where_that_is_asked_for(done: Protocol) -> None:
    one = ROUNDS[done.name][1]
    head = Path(done.directory, "runs", done.name, "protocol", one, "models", "seed-1", "head.safetensors")
    before = head.read_bytes()
    flip(head)
    said = call(done.directory, "train", "e.toml", code=3).err
    assert f"{one}/models/seed-1/head.safetensors" in said
    assert "--overwrite" in said
    assert not call(done.directory, "train", "e.toml", "--overwrite", "--json").json["reused"]
    assert head.read_bytes() == before


def test_such_a_run_has_no_single_model_and_each_round_has_one(done: Protocol) -> None:
    run = f"runs/{done.name}"
    refused = call(done.directory, "predict", run, stdin=b"happy fox", code=2)
    assert "a model for each round" in refused.err
    place = f"{run}/protocol/{ROUNDS[done.name][0]}"
    (line,) = call(done.directory, "predict", place, stdin=b"happy fox").lines
    assert line["label"] in {"grief", "joy", "numbers"}


def test_it_cannot_be_asked_for_what_needs_one_model(done: Protocol) -> None:
    other = call(done.directory, "evaluate", "e.toml", "--on", "test.csv", code=2)
    assert "no single one" in other.err
    split = call(done.directory, "evaluate", "e.toml", "--split", "validation", code=2)
    assert "scores its own test rows alone" in split.err


def test_other_settings_under_the_same_name_are_refused(done: Protocol) -> None:
    refused = call(done.directory, "train", "e.toml", "--set", "train.epochs=4", code=2)
    assert "train.epochs" in refused.err
    untrained = call(done.directory, "evaluate", "e.toml", "--name", "other", code=2)
    assert "not trained" in untrained.err


def test_draws_that_were_seeded_otherwise_are_not_taken_for_these(done: Protocol) -> None:
    if done.name != "shots":
        pytest.skip("folds are not drawn")
    trained = done.directory / "runs" / done.name / "protocol" / "trained.json"
    kept = trained.read_bytes()
    document = json.loads(kept)
    del document["protocol"]["seeded_by"]
    trained.write_text(json.dumps(document), encoding="utf-8")
    try:
        refused = call(done.directory, "evaluate", "e.toml", code=2)
    finally:
        trained.write_bytes(kept)
    assert "not trained on these data" in refused.err


def test_folds_are_compared_whole_and_draws_one_by_one(done: Protocol) -> None:
    run, round_ = f"runs/{done.name}", f"runs/{done.name}/protocol/{ROUNDS[done.name][0]}"
    assert call(done.directory, "compare", round_, round_, "--json").json["rows"] == 20
    if done.name == "folds":
        assert call(done.directory, "compare", run, run, "--json").json["rows"] == 60
    else:
        refused = call(done.directory, "compare", run, run, code=2)
        assert f"such as {Path('runs/shots/protocol/draw-0')}" in refused.err


def test_two_protocols_at_once_and_draws_without_a_test_file_are_configuration_errors(tmp_path: Path) -> None:
    text = EXPERIMENT.format(name="both", dataset="folds = 3\nshots = 1")
    (tmp_path / "e.toml").write_text(text, encoding="utf-8")
    refused = call(tmp_path, "train", "e.toml", code=2).err
    assert "dataset.shots: must be >= 2: 1" in refused
    text = text.replace("shots = 1", "shots = 8")
    (tmp_path / "e.toml").write_text(text, encoding="utf-8")
    refused = call(tmp_path, "train", "e.toml", code=2).err
    assert "does not go with dataset.folds" in refused
    assert "draws are scored on a test split" in refused

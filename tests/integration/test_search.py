"""`train --search` by command: kept, resumed after a kill, and what the run is evaluated by."""

from __future__ import annotations

import json
import shutil
import signal
import time
import tomllib
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
from command_line import call, finish, start
from small_job import write_rows

import fusionapp

EXPERIMENT = """
name = "e"

[dataset]
train = "train.csv"
test = "test.csv"

[encoders.lexical]
adapter = "lexical"
dim = 1024

[train]
seeds = 2
epochs = 4
hidden_dims = [8]
dropout = 0.95
learning_rate = 1e-5
linear_path = "none"

[evaluate]
draws = 200
costs = [0.1, 1.0]
"""
"""Settings under which nothing is learnt, so that a search has something to find."""


def write(directory: Path) -> None:
    write_rows(directory / "train.csv", 150, 1)
    write_rows(directory / "test.csv", 40, 2)
    (directory / "e.toml").write_text(EXPERIMENT, encoding="utf-8")


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A run that was searched, and what was printed; not to be changed."""
    directory = tmp_path_factory.mktemp("search")
    write(directory)
    return directory, call(directory, "train", "e.toml", "--search", "8", "--json").json


@pytest.fixture
def job(searched: tuple[Path, Any], tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(searched[0], tmp_path / "job"))


def kept(directory: Path) -> Any:
    return json.loads((directory / "runs" / "e" / "search.json").read_text(encoding="utf-8"))


def test_trials_are_printed_and_kept_the_experiments_own_settings_first(searched: tuple[Path, Any]) -> None:
    directory, printed = searched
    trials = printed["search"]["trials"]
    assert len(trials) == 8
    assert trials[0]["values"]["train.learning_rate"] == 1e-5
    assert kept(directory)["trials"] == trials
    assert printed["search"]["decision"]["tuned"]


def test_the_run_is_trained_by_what_the_search_decided_on(searched: tuple[Path, Any]) -> None:
    directory, printed = searched
    values = printed["search"]["decision"]["values"]
    resolved = json.loads((directory / "runs" / "e" / "experiment.json").read_text(encoding="utf-8"))
    for key, value in values.items():
        table, name = key.split(".")
        assert resolved[table][name] == value
    assert [Path(model["directory"]).name for model in printed["models"]] == ["seed-0", "seed-1"]
    assert call(directory, "verify", "runs/e", "--json").json["ok"]


def test_later_commands_know_the_settings_without_being_told(job: Path) -> None:
    by_file = call(job, "evaluate", "e.toml", "--json").json
    assert by_file["leaderboard"]
    assert call(job, "evaluate", "runs/e", "--json").json == by_file
    assert call(job, "train", "e.toml", "--json").json["reused"]
    (line,) = call(job, "predict", "runs/e", stdin=b"happy fox").lines
    assert line["label"] in {"grief", "joy", "numbers"}


@pytest.mark.parametrize("source", ["e.toml", "runs/e"])
def test_a_search_that_is_over_is_not_done_again(job: Path, searched: tuple[Path, Any], source: str) -> None:
    again = call(job, "train", source, "--search", "8", "--json").json
    assert again["reused"]
    assert again["search"] == searched[1]["search"]


def test_more_trials_go_on_from_the_ones_there_are(job: Path, searched: tuple[Path, Any]) -> None:
    more = call(job, "train", "runs/e", "--search", "9", "--json").json["search"]
    assert more["trials"][:8] == searched[1]["search"]["trials"]
    assert len(more["trials"]) == 9


def test_people_get_a_sentence_and_settings_to_paste(job: Path, searched: tuple[Path, Any]) -> None:
    shown = call(job, "train", "e.toml", "--search", "8").out
    assert "The best trial's settings are taken" in shown
    pasted = tomllib.loads(shown.partition("experiment file:\n")[2])
    values = searched[1]["search"]["decision"]["values"]
    assert {f"{table}.{name}": value for table in pasted for name, value in pasted[table].items()} == values


def test_changed_settings_under_a_searched_name_are_refused(job: Path) -> None:
    refused = call(job, "train", "e.toml", "--set", "train.epochs=3", code=2)
    assert "train.epochs" in refused.err


def test_a_run_that_was_trained_by_its_own_settings_is_not_searched_by_the_way(tmp_path: Path) -> None:
    write(tmp_path)
    call(tmp_path, "train", "e.toml", "--json")
    refused = call(tmp_path, "train", "e.toml", "--search", "2", code=2)
    assert "trained without a search" in refused.err
    anew = call(tmp_path, "train", "e.toml", "--search", "2", "--overwrite", "--json").json
    assert len(anew["search"]["trials"]) == 2


def test_options_and_protocols_that_do_not_go_with_a_search_are_refused(tmp_path: Path) -> None:
    write(tmp_path)
    assert "--search N" in call(tmp_path, "train", "e.toml", "--search-fusion", code=2).err
    folds = call(tmp_path, "train", "e.toml", "--search", "2", "--set", "dataset.folds=3", code=2)
    assert "train --search: a k-fold or few-shot run" in folds.err


@pytest.mark.slow
def test_a_killed_search_goes_on_and_ends_as_one_that_was_not(
    tmp_path: Path, searched: tuple[Path, Any]
) -> None:
    write(tmp_path)
    process = start(tmp_path, "train", "e.toml", "--search", "8", "--json")
    document = tmp_path / "runs" / "e" / "search.json"
    while process.poll() is None and not (document.exists() and len(kept(tmp_path)["trials"]) >= 2):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    finish(process)
    before = kept(tmp_path)
    assert before["decision"] is None
    after = call(tmp_path, "train", "e.toml", "--search", "8", "--json").json["search"]
    assert after["trials"][: len(before["trials"])] == before["trials"]
    expected = [trial["values"] for trial in searched[1]["search"]["trials"]]
    assert [trial["values"] for trial in after["trials"]] == expected


def test_the_python_api_takes_a_budget(job: Path, searched: tuple[Path, Any]) -> None:
    with chdir(job):
        training = fusionapp.train("e.toml", search=fusionapp.SearchBudget(trials=8))
    assert training.reused
    assert [head.seed for head in training.heads] == [0, 1]
    assert kept(job)["trials"] == searched[1]["search"]["trials"]

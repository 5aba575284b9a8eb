"""A sweep by its command: its cells, its board, what it shares, and how it goes on."""

from __future__ import annotations

import csv
import gc
import json
import shutil
import tomllib
from contextlib import chdir
from pathlib import Path
from time import sleep
from typing import Any

import attrs
import numpy as np
import pyarrow.parquet as pq
import pytest
from command_line import Result, call, start
from small_job import write_rows
from tiny_models import save_tiny
from transformers import PreTrainedModel

import fusionapp
from fusionapp.adapters.filesystem.run_directory import RunDirectory
from fusionapp.adapters.linear.control import ScipyLinearControl
from fusionapp.adapters.torch_heads.scorer import TorchHeadScorer
from fusionapp.adapters.torch_heads.trainer import TorchHeadTrainer

SWEEP = """
name = "board"

[dataset]
test = "test.csv"

[encoders.bert]
model = "model"

[encoders.words]
adapter = "lexical"
dim = 4096

[storage]
shard_rows = 16

[train]
seeds = 2
epochs = 3
hidden_dims = [8]
batch_size = 16
learning_rate = 0.01

[evaluate]
draws = 200
costs = [0.1, 1.0]

[sweep]
encoders = "pairs"
fusions = ["concat", {kind = "hadamard", residual = true}, {kind = "attention", heads = 5}]

[sweep.datasets.small]
train = "small.csv"

[sweep.datasets.large]
train = "large.csv"
"""
BROKEN = "bert-words-attention-heads-5"
RUN = (
    "bert-concat",
    "words-concat",
    "bert-words-linear_svm",
    "bert-words-concat",
    "bert-words-hadamard-residual",
)
ONE = ("--set", 'sweep.datasets={small = {train = "small.csv"}}')
"""The sweep over one of its datasets."""
COUNTED = ((TorchHeadTrainer, "train"), (TorchHeadScorer, "score"), (ScipyLinearControl, "fit"))


@attrs.frozen
class Swept:
    """A directory in which the sweep was run once, and how that went."""

    directory: Path
    ended: Result
    calls: dict[str, int]

    @property
    def cells(self) -> dict[str, Any]:
        """The board's rows by name."""
        return {cell["name"]: cell for cell in self.ended.json["cells"]}


def write_sweep(directory: Path) -> None:
    save_tiny("bert", directory / "model")
    write_rows(directory / "small.csv", 60, 1)
    write_rows(directory / "large.csv", 90, 3)
    write_rows(directory / "test.csv", 40, 2)
    (directory / "sweep.toml").write_text(SWEEP, encoding="utf-8")


def counting(patch: pytest.MonkeyPatch) -> dict[str, int]:
    """How often heads are trained and scored and linear models fitted from now on."""
    calls = dict.fromkeys(("train", "score", "fit"), 0)
    for kind, name in COUNTED:
        patch.setattr(kind, name, _counted(getattr(kind, name), name, calls))
    return calls


def _counted(function: Any, name: str, calls: dict[str, int]) -> Any:
    def counted(*arguments: Any, **named: Any) -> Any:
        calls[name] += 1
        return function(*arguments, **named)

    return counted


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Swept:
    """The sweep after one run; not to be changed."""
    directory = tmp_path_factory.mktemp("swept")
    write_sweep(directory)
    with pytest.MonkeyPatch.context() as patch:
        calls = counting(patch)
        ended = call(directory, "sweep", "sweep.toml", "--json", code=2)
    return Swept(directory, ended, calls)


@pytest.fixture
def again(swept: Swept, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(swept.directory, tmp_path / "again"))


@pytest.fixture
def fresh(swept: Swept, tmp_path: Path) -> Path:
    """The same sweep before anything was done."""
    ignored = shutil.ignore_patterns("runs", "embeddings")
    return Path(shutil.copytree(swept.directory, tmp_path / "fresh", ignore=ignored))


def test_every_cell_and_control_is_on_the_board(swept: Swept) -> None:
    expected = {f"{dataset}-{name}" for dataset in ("small", "large") for name in (*RUN, BROKEN)}
    assert set(swept.cells) == expected
    assert {cell["role"] for cell in swept.cells.values()} == {"cell", "single source", "linear_svm"}


def test_the_board_is_ranked_by_validation_within_each_dataset(swept: Swept) -> None:
    for dataset in ("small", "large"):
        ranked = [cell for cell in swept.ended.json["cells"] if cell["dataset"] == dataset and cell["rank"]]
        validation = [cell["validation"] for cell in ranked]
        assert validation == sorted(validation, reverse=True)
        assert [cell["rank"] for cell in ranked] == [
            1 + sum(v > own for v in validation) for own in validation
        ]


def test_a_cell_that_fails_is_reported_and_the_others_are_kept(swept: Swept) -> None:
    assert swept.ended.json["failed"] == 2
    for dataset in ("small", "large"):
        broken = swept.cells[f"{dataset}-{BROKEN}"]
        assert broken["rank"] is None
        assert "fusion.heads: 5 does not divide d = 32" in broken["error"]
        assert all(not swept.cells[f"{dataset}-{name}"]["error"] for name in RUN)


def test_a_cell_is_held_against_the_best_single_source_and_the_linear_svm(swept: Swept) -> None:
    cell = swept.cells["large-bert-words-concat"]
    singles = [swept.cells[f"large-{name}-concat"] for name in ("bert", "words")]
    best = max(singles, key=lambda one: one["validation"])
    assert cell["best_single"]["control"] == best["name"]
    difference = cell["metrics"]["accuracy"]["mean"] - best["metrics"]["accuracy"]["mean"]
    assert cell["best_single"]["difference"]["estimate"] == pytest.approx(difference)
    svm = swept.cells["large-bert-words-linear_svm"]
    difference = cell["metrics"]["accuracy"]["mean"] - svm["metrics"]["accuracy"]["mean"]
    assert cell["linear_svm"]["difference"]["estimate"] == pytest.approx(difference)
    assert cell["linear_svm"]["verdict"] in ("better", "worse", "not separable")
    assert svm["note"].startswith("C=")


def test_every_number_of_the_board_is_there(swept: Swept) -> None:
    cell = swept.cells["small-bert-words-hadamard-residual"]
    assert set(cell["metrics"]) == set(cell["ensemble"]) == {"accuracy", "macro_f1", "weighted_f1", "ece"}
    assert set(cell["metrics"]["accuracy"]) == {"mean", "sd", "low", "high"}
    assert cell["seconds"] > 0
    assert cell["parameters"] > 0
    assert cell["validation_sd"] >= 0


def test_controls_are_trained_once_and_test_is_scored_once_a_cell(swept: Swept) -> None:
    heads_per_dataset = len(RUN) - 1
    assert swept.calls == {"train": 2 * (heads_per_dataset + 1), "score": 2 * heads_per_dataset, "fit": 2}


def test_embeddings_are_extracted_once_for_all_cells(swept: Swept) -> None:
    sets = [path for path in (swept.directory / "embeddings/npy").iterdir() if path.is_dir()]
    assert len(sets) == 2 * 3  # two encoders; two training files and the test file that they share


def test_leaderboards_say_the_same_in_every_format(swept: Swept) -> None:
    board = swept.directory / "runs/board"
    assert json.loads((board / "leaderboard.json").read_text(encoding="utf-8")) == swept.ended.json
    with (board / "leaderboard.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    table = pq.read_table(board / "leaderboard.parquet").to_pylist()
    assert [row["name"] for row in rows] == [row["name"] for row in table] == list(swept.cells)
    for row, other, cell in zip(rows, table, swept.cells.values(), strict=True):
        assert row["error"] == other["error"] == cell["error"]
        if not cell["error"]:
            mean = cell["metrics"]["accuracy"]["mean"]
            assert float(row["accuracy_mean"]) == other["accuracy_mean"] == mean
        else:
            assert row["accuracy_mean"] == ""
            assert np.isnan(other["accuracy_mean"])
    shown = (board / "leaderboard.md").read_text(encoding="utf-8")
    assert all(name in shown for name in swept.cells)
    assert "## small" in shown


def test_the_board_is_shown_as_a_table_for_each_dataset(again: Path) -> None:
    ended = call(again, "sweep", "sweep.toml", code=2)
    assert "small: ranked by validation accuracy" in ended.out
    assert "small-bert-words-concat" in ended.out
    assert f"failed: large-{BROKEN}: fusion.heads" in ended.out
    assert "against linear SVM" in ended.out


def test_progress_says_which_cell_of_how_many_and_what_is_left(swept: Swept) -> None:
    lines = swept.ended.err.splitlines()
    assert lines[0] == "[1/12] small-bert-concat"
    assert lines[1].startswith("[2/12] small-words-concat, about ")
    assert lines[1].endswith(" left")


def test_what_is_finished_is_neither_trained_nor_scored_again(
    again: Path, swept: Swept, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = counting(monkeypatch)
    ended = call(again, "sweep", "sweep.toml", "--json", code=2)
    assert calls == {"train": 2, "score": 0, "fit": 0}  # what failed is tried again
    assert ended.json == swept.ended.json


def test_a_dry_run_lists_the_cells_and_writes_nothing(fresh: Path, swept: Swept) -> None:
    before = sorted(fresh.rglob("*"))
    plan = call(fresh, "sweep", "sweep.toml", "--dry-run", "--json").json
    assert {cell["name"] for cell in plan["cells"]} == set(swept.cells)
    assert not any(cell["finished"] for cell in plan["cells"])
    assert "board: 12 cells, 12 of them to run" in call(fresh, "sweep", "sweep.toml", "--dry-run").out
    assert sorted(fresh.rglob("*")) == before
    done = call(swept.directory, "sweep", "sweep.toml", "--dry-run", "--json").json["cells"]
    assert sum(cell["finished"] for cell in done) == 10


def test_changed_settings_are_refused_before_anything_is_touched(again: Path) -> None:
    board = again / "runs/board"
    before = (board / "leaderboard.json").read_bytes()
    ended = call(again, "sweep", "sweep.toml", "--set", "train.epochs=2", code=2)
    assert "runs/board holds cells of other settings: small-bert-concat (train.epochs)" in ended.err
    assert "--overwrite" in ended.err
    assert (board / "leaderboard.json").read_bytes() == before


def test_data_that_changed_leave_the_board_as_it_was(again: Path) -> None:
    board = again / "runs/board"
    before = (board / "leaderboard.json").read_bytes()
    write_rows(again / "small.csv", 61, 7)
    ended = call(again, "sweep", "sweep.toml", code=2)
    assert "the data changed since the cells were trained (small-bert-concat" in ended.err
    assert "the board stays as it was" in ended.err
    assert (board / "leaderboard.json").read_bytes() == before


def test_a_sweep_without_a_test_split_is_refused_before_anything_is_trained(again: Path) -> None:
    (again / "sweep.toml").write_text(SWEEP.replace('test = "test.csv"', ""), encoding="utf-8")
    ended = call(again, "sweep", "sweep.toml", "--set", "name=untested", code=2)
    assert "names no test split" in ended.err
    assert not (again / "runs/untested").exists()


def test_overwriting_trains_what_changed_and_that_alone(again: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = counting(monkeypatch)
    changed = SWEEP.replace('train = "large.csv"', 'train = "large.csv"\ndrop_duplicates = true')
    (again / "sweep.toml").write_text(
        changed.replace(', {kind = "attention", heads = 5}', ""), encoding="utf-8"
    )
    write_rows(again / "large.csv", 80, 4)
    assert call(again, "sweep", "sweep.toml", "--json", "--overwrite").json["failed"] == 0
    assert calls == {"train": len(RUN) - 1, "score": len(RUN) - 1, "fit": 1}


def test_cells_are_ordinary_runs(again: Path, swept: Swept) -> None:
    cell = "runs/board/large-bert-words-concat"
    report = call(again, "evaluate", cell, "--json").json
    assert report["result"] == swept.cells["large-bert-words-concat"]["metrics"]
    (said,) = call(again, "predict", cell, stdin=b"happy quick fox\n").lines
    assert said["label"] in ("joy", "grief", "numbers")
    for other in ("large-bert-words-hadamard-residual", "large-bert-words-linear_svm"):
        compared = call(again, "compare", cell, f"runs/board/{other}", "--json").json
        assert compared["rows"] == 40
    assert call(again, "verify", cell, "--json").json["ok"]


def test_no_model_of_a_cell_stays_in_the_next_ones_memory(fresh: Path) -> None:
    gc.collect()
    before = {id(found) for found in models()}
    gc.disable()
    try:
        words = ("--set", "sweep.fusions=['concat']", "--set", "evaluate.baselines=false", *ONE)
        call(fresh, "sweep", "sweep.toml", "--json", *words)
        assert {id(found) for found in models()} <= before
    finally:
        gc.enable()


def models() -> list[Any]:
    """By type alone: to ask some lazy objects for more makes them warn."""
    return [found for found in gc.get_objects() if PreTrainedModel in type(found).__mro__]


def near(value: Any) -> Any:
    """What equals the same numbers from another process: float32 sums hang on where memory happens to lie."""
    if isinstance(value, dict):
        return {key: near(each) for key, each in value.items()}
    return pytest.approx(value, rel=0, abs=1e-7) if isinstance(value, float) else value


def test_a_killed_sweep_goes_on_to_the_same_numbers(fresh: Path, swept: Swept) -> None:
    process = start(fresh, "sweep", "sweep.toml", *ONE)
    board = fresh / "runs/board"
    while len(list(board.glob("*/*-test.json"))) < 2:
        assert process.poll() is None, process.communicate()
        sleep(0.002)
    process.kill()
    process.communicate()
    assert process.returncode == -9
    assert not (board / "leaderboard.json").exists()
    before = {path: path.stat().st_mtime_ns for path in board.glob("*/models/seed-*/head.safetensors")}
    finished = [path for path in before if (path.parents[2] / "metrics-test.json").exists()]
    assert finished
    ended = call(fresh, "sweep", "sweep.toml", "--json", *ONE, code=2)
    assert all(path.stat().st_mtime_ns == before[path] for path in finished)
    keys = ("rank", "validation", "metrics", "ensemble", "note", "error")
    for cell in ended.json["cells"]:
        assert {key: cell[key] for key in keys} == {key: near(swept.cells[cell["name"]][key]) for key in keys}


def test_a_fault_of_one_cell_names_its_kind(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(TorchHeadTrainer, "train", fail)
    words = ("--set", "sweep.encoders=[['words']]", "--set", "sweep.fusions=['concat']")
    board = call(fresh, "sweep", "sweep.toml", "--json", *words, code=1).json
    assert board["failed"] == 2
    errors = {cell["role"]: cell["error"] for cell in board["cells"]}
    assert errors == {"cell": "RuntimeError: shapes differ", "linear_svm": ""}


def test_problems_are_reported_at_once(fresh: Path) -> None:
    words = ("--set", "sweep.encoders=couples", "--set", "train.seeds=0")
    ended = call(fresh, "sweep", "sweep.toml", *words, code=2)
    assert ended.err.splitlines() == [
        "error: sweep.encoders: expected 'singles', 'pairs', 'all' or a list of encoder names, got 'couples'",
        "train.seeds: must be >= 1: 0",
    ]
    assert not (fresh / "runs").exists()


def test_a_sweep_takes_the_place_of_no_run(again: Path) -> None:
    shutil.copy(again / "runs/board/small-bert-concat/experiment.json", again / "runs/board/experiment.json")
    assert "is an experiment's run" in call(again, "sweep", "sweep.toml", code=2).err


def test_a_sweep_that_another_process_runs_is_left_alone(again: Path) -> None:
    with RunDirectory(again / "runs/board").lock():
        assert call(again, "sweep", "sweep.toml", code=4).err.startswith("error: ")


def test_the_python_api_returns_the_board(again: Path, swept: Swept) -> None:
    with chdir(again):
        board = fusionapp.sweep(tomllib.loads(SWEEP))
    assert [row.entrant.name for row in board.rows] == list(swept.cells)
    assert board.code == 2

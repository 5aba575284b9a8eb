"""What every run store promises, in memory and on disk alike."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from fakes.stores import MemoryRunStore

from fusionapp.adapters.filesystem.run_directory import RunDirectory
from fusionapp.application.ports.run_store import Column, RunStore
from fusionapp.domain.errors import CorruptArtifactError, UsageError

Reopen = Callable[[], RunStore]


@pytest.fixture(params=["memory", "directory"])
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Reopen:
    if request.param == "memory":
        store = MemoryRunStore(tmp_path / "emotions")
        return lambda: store
    return lambda: RunDirectory(tmp_path / "emotions")


def test_a_document_comes_back_as_it_was_written(reopen: Reopen) -> None:
    value = {"name": "Gefühle 编码", "seeds": [0, 1], "score": 0.1, "none": None, "nested": {"a": True}}
    reopen().write_document("models/seed-0/model.json", value)
    assert reopen().read_document("models/seed-0/model.json") == value


def test_a_document_that_is_not_there_is_none(reopen: Reopen) -> None:
    assert reopen().read_document("metrics.json") is None


def test_documents_are_listed_by_prefix(reopen: Reopen) -> None:
    for name in ("metrics.json", "models/seed-1/model.json", "models/seed-0/model.json"):
        reopen().write_document(name, {})
    assert list(reopen().documents("models/")) == ["models/seed-0/model.json", "models/seed-1/model.json"]
    assert len(reopen().documents()) == 3


@pytest.mark.parametrize("value", [float("nan"), {"a": [float("inf")]}, {"a": np.zeros(2)}])
def test_what_json_cannot_hold_is_refused_with_the_name(reopen: Reopen, value: object) -> None:
    with pytest.raises(UsageError, match=r"metrics\.json"):
        reopen().write_document("metrics.json", value)
    assert reopen().read_document("metrics.json") is None


def test_a_table_keeps_numbers_strings_and_shapes(reopen: Reopen) -> None:
    scores = np.arange(24, dtype=np.float32).reshape(3, 2, 4)
    columns: dict[str, Column] = {
        "row": np.arange(3),
        "probabilities": scores,
        "label": ["joy", None, "编码"],
        "right": np.array([True, False, True]),
    }
    reopen().write_table("scores/test.parquet", columns)
    table = reopen().read_table("scores/test.parquet")
    np.testing.assert_array_equal(table["probabilities"], scores)
    assert table["probabilities"].dtype == np.float32
    assert table["row"].dtype == np.int64
    assert table["right"].tolist() == [True, False, True]
    assert table["label"].tolist() == ["joy", None, "编码"]


def test_a_table_of_no_rows_keeps_its_shapes(reopen: Reopen) -> None:
    reopen().write_table("scores.parquet", {"p": np.zeros((0, 5), np.float32), "label": []})
    table = reopen().read_table("scores.parquet")
    assert table["p"].shape == (0, 5)
    assert len(table["label"]) == 0


def test_columns_of_different_lengths_are_refused(reopen: Reopen) -> None:
    with pytest.raises(ValueError, match="lengths"):
        reopen().write_table("scores.parquet", {"a": np.zeros(2), "b": np.zeros(3)})


def test_a_table_that_is_not_there_is_named(reopen: Reopen) -> None:
    with pytest.raises(UsageError, match="scores"):
        reopen().read_table("scores.parquet")


@pytest.mark.parametrize("name", ["", "../other.json", "/etc/passwd", "a/../../b.json", "a//b.json", ".lock"])
def test_a_name_that_could_leave_the_run_is_refused(reopen: Reopen, name: str) -> None:
    with pytest.raises(UsageError):
        reopen().write_document(name, {})
    with pytest.raises(UsageError):
        reopen().path(name)


def test_files_that_others_wrote_are_recorded(reopen: Reopen) -> None:
    head = Path(reopen().path("models/seed-0/head.safetensors"))
    head.write_bytes(b"weights")
    reopen().record("models/seed-0/head.safetensors")
    assert list(reopen().verify()) == []
    assert reopen().hash_file("models/seed-0/head.safetensors") == sha256(b"weights").hexdigest()
    head.write_bytes(b"weightz")
    assert [problem.file for problem in reopen().verify()] == ["models/seed-0/head.safetensors"]


def test_a_directory_is_recorded_with_all_below(reopen: Reopen) -> None:
    with reopen().writing("models") as directory:
        for seed in range(2):
            (Path(directory) / f"seed-{seed}").mkdir(parents=True)
            (Path(directory) / f"seed-{seed}" / "head.json").write_text("{}")
    (Path(directory) / "seed-1" / "head.json").unlink()
    assert [problem.file for problem in reopen().verify()] == ["models/seed-1/head.json"]


def test_a_part_of_a_run_is_verified_alone(reopen: Reopen) -> None:
    with reopen().writing("models") as directory:
        for seed in ("seed-1", "seed-10"):
            (Path(directory) / seed).mkdir(parents=True)
            (Path(directory) / seed / "head.json").write_text("{}")
    (Path(directory) / "seed-10" / "head.json").write_text("[]")
    assert list(reopen().verify("models/seed-1")) == []
    for below in ("models", "models/seed-10", "models/seed-10/head.json"):
        assert [problem.file for problem in reopen().verify(below)] == ["models/seed-10/head.json"]


def test_a_recorded_file_that_is_gone_is_a_problem(reopen: Reopen) -> None:
    head = Path(reopen().path("head.safetensors"))
    head.write_bytes(b"weights")
    reopen().record("head.safetensors")
    head.unlink()
    assert len(reopen().verify()) == 1


def test_recording_what_is_not_there_is_refused(reopen: Reopen) -> None:
    with pytest.raises(CorruptArtifactError, match="head"):
        reopen().record("models/head.safetensors")


def test_files_that_change_while_they_are_being_written_are_no_corruption(reopen: Reopen) -> None:
    def train(weights: bytes, *, crash: bool) -> None:
        with reopen().writing("models") as directory:
            Path(directory).mkdir(exist_ok=True)
            (Path(directory) / "head.safetensors").write_bytes(weights)
            if crash:
                raise InterruptedError

    train(b"first", crash=False)
    with pytest.raises(InterruptedError):
        train(b"second", crash=True)
    assert list(reopen().verify()) == []
    train(b"third", crash=False)
    assert list(reopen().verify()) == []


def test_pruning_removes_what_was_recorded_below_and_is_not_kept(reopen: Reopen) -> None:
    for name in ("e/old.json", "e/new.json", "elsewhere.json"):
        reopen().write_document(name, {})
    drawn, notes = Path(reopen().path("e/old.svg")), Path(reopen().path("e/notes.txt"))
    drawn.write_text("<svg/>")
    notes.write_text("mine")
    reopen().record("e/old.svg")
    reopen().prune("e", {"e/new.json"})
    assert list(reopen().documents()) == ["e/new.json", "elsewhere.json"]
    assert not drawn.exists()
    assert notes.read_text() == "mine"
    assert list(reopen().verify()) == []
    with pytest.raises(UsageError):
        reopen().prune("..", ())


def test_what_was_pruned_can_be_written_again(reopen: Reopen) -> None:
    reopen().write_document("e/old.json", {"a": 1})
    reopen().prune("e", ())
    assert reopen().read_document("e/old.json") is None
    reopen().write_document("e/old.json", {"a": 2})
    assert reopen().read_document("e/old.json") == {"a": 2}
    assert list(reopen().verify()) == []


def test_locks_of_one_store_nest(reopen: Reopen) -> None:
    store = reopen()
    with store.lock(), store.lock():
        store.write_text("leaderboard.md", "| run | score |\n")
    assert list(store.verify()) == []

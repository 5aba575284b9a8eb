"""Embeddings of other programs, by command: into the store, through training, and out again."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import call, refused
from small_job import Job, write_rows

EXPERIMENT = """
name = "imported"
[dataset]
train = "train.csv"
test = "test.csv"
[encoders.gemma]
adapter = "imported"
model = "gemma-2-2b"
train = "gemma_train_embedding.pt"
test = "gemma_test_embedding.npy"
[encoders.words]
adapter = "lexical"
dim = 4096
[train]
seeds = 2
epochs = 3
hidden_dims = [16]
[evaluate]
draws = 200
costs = [1.0]
"""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """An experiment over matrices alone: no model stands anywhere."""
    write_rows(tmp_path / "train.csv", 90, 1)
    write_rows(tmp_path / "test.csv", 40, 2)
    rng = np.random.default_rng(0)
    torch.save(torch.from_numpy(rng.normal(size=(90, 8))), tmp_path / "gemma_train_embedding.pt")
    np.save(tmp_path / "gemma_test_embedding.npy", rng.normal(size=(40, 8)).astype(np.float16))
    (tmp_path / "imported.toml").write_text(EXPERIMENT, encoding="utf-8")
    return tmp_path


def test_an_experiment_is_trained_and_evaluated_on_matrices_without_any_model(files: Path) -> None:
    call(files, "train", "imported.toml")
    report = call(files, "evaluate", "imported.toml", "--json").json
    assert "gemma" in json.dumps(list(report["controls"]))
    status = call(files, "status", "runs/imported", "--json").json
    assert (status["rows"], status["complete"]) == (130, True)
    assert not call(files, "verify", "runs/imported", "--json").json["problems"]


def test_a_run_over_imported_vectors_cannot_predict_texts_and_says_what_it_can(files: Path) -> None:
    call(files, "train", "imported.toml", "--encoder", "gemma")
    message = refused(files, "predict", "runs/imported", "test.csv", code=2)
    assert "encoder 'gemma' were imported" in message
    exported = call(files, "export", "model", "runs/imported", "--output", "heads.onnx", "--json").json
    assert exported["inputs"] == {"gemma": [1, 8]}


def test_one_file_is_imported_and_the_table_that_is_printed_uses_it(files: Path) -> None:
    words = (
        "--train-file",
        "train.csv",
        "--test-file",
        "test.csv",
        "--split",
        "train",
        "--encoder",
        "gemma-2.b",
    )
    ended = call(files, "import", "embeddings", "gemma_train_embedding.pt", *words, "--model", "gemma-2-2b")
    assert "90 rows of (1, 8) in embeddings/npy/imported-" in ended.err
    table = tomllib.loads(ended.out)["encoders"]["gemma-2.b"]
    assert table == {"adapter": "imported", "model": "gemma-2-2b", "train": "gemma_train_embedding.pt"}
    stored = sorted((files / "embeddings" / "npy").iterdir())
    plan = call(files, "extract", "imported.toml", "--encoder", "gemma", "--dry-run", "--json").json["plan"]
    assert [one["missing_texts"] for one in plan] == [0, 40]
    assert [files / plan[0]["directory"]] == stored


def test_a_file_is_imported_into_an_experiment_that_names_others(files: Path) -> None:
    (files / "gemma_train_embedding.pt").unlink()
    words = ("gemma_test_embedding.npy", "imported.toml", "--split", "test", "--encoder", "gemma", "--json")
    found = call(files, "import", "embeddings", *words).json
    assert (found["rows"], found["layers"], found["dim"]) == (40, 1, 8)
    assert tomllib.loads(found["toml"])["encoders"]["gemma"]["train"] == "gemma_train_embedding.pt"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("gemma_test_embedding.npy", "--split", "train", "--encoder", "g"),
            "40 rows for encoder 'g', and train has 90",
        ),
        (("nowhere.npy", "--split", "train", "--encoder", "g"), "nowhere.npy: cannot be read"),
        (("train.csv", "--split", "train", "--encoder", "g"), "are imported from .npy, .pt"),
        (
            ("gemma_test_embedding.npy", "--split", "dev", "--encoder", "g"),
            "'dev' is not one of train, validation",
        ),
        (
            ("gemma_test_embedding.npy", "--split", "test", "--encoder", "words"),
            "another encoder of that name",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(files: Path, words: tuple[str, ...], message: str) -> None:
    file, *rest = words
    assert message in refused(files, "import", "embeddings", file, "imported.toml", *rest, code=2)
    assert not (files / "embeddings").exists()


def test_a_matrix_that_changes_after_training_is_another_experiment(files: Path) -> None:
    call(files, "train", "imported.toml")
    torch.save(torch.ones(90, 8), files / "gemma_train_embedding.pt")
    assert "changed since training" in refused(files, "train", "imported.toml", code=2)


def test_the_example_of_stored_embeddings_runs_over_the_files_of_two_models(tmp_path: Path) -> None:
    (tmp_path / "R8").mkdir()
    (tmp_path / "extracted_embedding" / "R8").mkdir(parents=True)
    for seed, (split, rows) in enumerate({"train": 60, "test": 20}.items()):
        write_rows(tmp_path / "R8" / f"{split}.csv", rows, seed)
        for model, dim in (("gemma", 12), ("qwen", 16)):
            path = tmp_path / "extracted_embedding" / "R8" / f"{model}_{split}_embedding.pt"
            torch.save(torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed)), path)
    example = Path(__file__).parents[2] / "examples" / "stored-embeddings.toml"
    quick = ("train.seeds=2", "train.epochs=2", "train.hidden_dims=[16]", "fusion.product_dim=64")
    words: list[str | Path] = [example, *(word for value in quick for word in ("--set", value))]
    call(tmp_path, "train", *words)
    report = call(tmp_path, "evaluate", *words, "--set", "evaluate.draws=100", "--json").json
    assert 0 <= report["result"]["accuracy"]["mean"] <= 1
    call(tmp_path, "export", "model", "runs/stored-embeddings", "--output", "heads.onnx")


@pytest.mark.parametrize("encoder", ["bert", "last"])
def test_a_parquet_export_goes_through_datasets_and_comes_back_in(
    finished: Job, tmp_path: Path, encoder: str
) -> None:
    from datasets import load_dataset

    words = ("export", "embeddings", "runs/tiny", "--encoder", encoder, "--split", "test")
    for form in ("parquet", "npy"):
        call(finished.directory, *words, "--format", form, "--output", tmp_path / f"e.{form}")
    expected = np.load(tmp_path / "e.npy")
    opened = load_dataset(
        "parquet", data_files=str(tmp_path / "e.parquet"), cache_dir=str(tmp_path / "cache"), split="train"
    )
    np.testing.assert_array_equal(opened.with_format("numpy")["embedding"][:], expected)
    opened.save_to_disk(str(tmp_path / "saved"))
    (tmp_path / "test.csv").write_bytes((finished.directory / "test.csv").read_bytes())
    for name in ("e.parquet", "saved"):
        rest = ("--set", "dataset.train=test.csv", "--split", "train", "--encoder", name, "--json")
        found = call(tmp_path, "import", "embeddings", name, *rest).json
        (shard,) = (tmp_path / found["directory"]).rglob("*.npy")
        np.testing.assert_array_equal(np.load(shard).reshape(expected.shape), expected)

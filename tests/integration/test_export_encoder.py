"""An encoder exported as a graph takes its place in an experiment by one word."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from command_line import call, refused
from small_job import Job


@pytest.fixture
def job(finished: Job, tmp_path: Path) -> Path:
    """The small job's files, whose encoder keeps the model's own dtype here."""
    place = tmp_path / "job"
    shutil.copytree(finished.directory, place, ignore=shutil.ignore_patterns("runs", "embeddings"))
    (place / "one.toml").write_text(
        'name = "one"\n[dataset]\ntrain = "train.csv"\ntest = "test.csv"\n'
        '[encoders.bert]\nmodel = "model"\ndtype = "float32"\n'
    )
    (place / "two.toml").write_text(
        'name = "two"\n[dataset]\ntrain = "train.csv"\ntest = "test.csv"\n'
        '[encoders.bert]\nadapter = "onnx"\nmodel = "graph"\n'
    )
    return place


def vectors(job: Path, run: str) -> np.ndarray:
    call(job, "export", "embeddings", f"runs/{run}", "--split", "test", "--output", f"{run}.npy")
    found: np.ndarray = np.load(job / f"{run}.npy")
    return found


def test_the_graph_gives_the_encoders_vectors_in_an_experiment(job: Path) -> None:
    report = call(job, "export", "encoder", "one.toml", "--output", "graph", "--json").json
    assert report["cosine"] > 0.9999
    for name in ("one", "two"):
        call(job, "extract", f"{name}.toml")

    one, two = (vectors(job, name) for name in ("one", "two"))

    error = np.linalg.norm(one - two, axis=-1) / np.linalg.norm(one, axis=-1)
    assert error.max() < 1e-5


def test_a_graph_that_was_changed_is_corrupt_and_nothing_is_extracted(job: Path) -> None:
    call(job, "export", "encoder", "model", "--output", "graph")
    graph = job / "graph" / "model.onnx"
    content = bytearray(graph.read_bytes())
    content[len(content) // 2] ^= 1
    graph.write_bytes(content)

    assert "model.onnx" in refused(job, "extract", "two.toml", code=3)

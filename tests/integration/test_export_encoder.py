"""An encoder exported as a graph takes its place in an experiment by one word."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from command_line import call, refused
from small_job import Job
from tiny_pipelines import DENSE_DIM, tiny_pipeline


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


def test_a_pipeline_is_extracted_by_its_adapters_name(job: Path) -> None:
    (job / "three.toml").write_text(
        'name = "three"\n[dataset]\ntrain = "train.csv"\n'
        f"[encoders.dense]\nadapter = \"sentence_transformers\"\nmodel = '{tiny_pipeline('dense')}'\n"
    )
    report = call(job, "extract", "three.toml", "--json").json
    assert report["complete"]
    assert report["encoders"]["dense"]["dim"] == DENSE_DIM


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("graphs.toml", "--encoder", "graph"), 'adapter = "onnx" is not exported'),
        (("graphs.toml", "--encoder", "nobody"), "name one of bert, graph"),
        (("graphs.toml",), "--encoder: missing"),
        (("no-such-model",), "no alias"),
    ],
)
def test_what_cannot_be_exported_is_refused(job: Path, words: tuple[str, ...], message: str) -> None:
    (job / "graphs.toml").write_text(
        '[dataset]\ntrain = "train.csv"\n[encoders.bert]\nmodel = "model"\n'
        '[encoders.graph]\nadapter = "onnx"\nmodel = "graph"\n'
    )
    assert message in refused(job, "export", "encoder", *words, "--output", "other", code=2)
    assert not (job / "other").exists()

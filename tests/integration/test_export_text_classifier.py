"""A run with its encoders as one graph: whoever has onnxruntime and tokenizers classifies sentences with it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import onnx
import pytest
from command_line import call, refused
from small_job import Job
from tiny_models import TEXTS, save_tiny

SENTENCES = [text.strip() for text in TEXTS]
ROBERTA = 'model = "roberta"\nprefix = "query: "\nmax_length = 24\ndtype = "float32"\npooling = "cls"'


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, finished: Job) -> Path:
    """The small experiment over two layers of one model and another model of another tokenizer, with a prefix."""
    directory = tmp_path_factory.mktemp("trained")
    for name in ("model", "train.csv", "test.csv"):
        (directory / name).symlink_to(finished.directory / name)
    save_tiny("roberta", directory / "roberta")
    dense = (finished.directory / "tiny.toml").read_text().replace('adapter = "lexical"\ndim = 4096', ROBERTA)
    exact = dense.replace('model = "model"', 'model = "model"\ndtype = "float32"')
    (directory / "tiny.toml").write_text(exact.replace("encoders.lexical", "encoders.asking"))
    call(directory, "train", "tiny.toml")
    return directory


@pytest.fixture(scope="module")
def exported(trained: Path) -> Path:
    call(trained, "export", "model", "runs/tiny", "--with-encoders", "--output", "whole")
    return trained / "whole"


def card(directory: Path) -> Any:
    return json.loads((directory / "fusionapp_classifier.json").read_text("utf-8"))


def test_the_readmes_program_says_what_predict_says_without_this_package(
    trained: Path, exported: Path, tmp_path: Path
) -> None:
    place = Path(shutil.copytree(exported, tmp_path / "elsewhere"))
    (program,) = re.findall(r"```python\n(.*?)```", (place / "README.md").read_text("utf-8"), re.DOTALL)
    watch = "import sys\nassert not [m for m in sys.modules if m.split('.')[0] in ('fusionapp', 'torch')]\n"
    (place / "classify.py").write_text(program + watch)
    said = subprocess.run(
        [sys.executable, "-I", place / "classify.py", *SENTENCES], capture_output=True, text=True, check=True
    ).stdout
    lines = call(trained, "predict", "runs/tiny", "-", stdin="\n".join(SENTENCES).encode()).lines
    found = [line.split("\t") for line in said.splitlines()]
    assert [row[0] for row in found] == [line["label"] for line in lines]
    assert [float(row[1]) for row in found] == pytest.approx([one["probability"] for one in lines], abs=1e-4)
    assert [row[2] for row in found] == SENTENCES


def test_encoders_that_tokenize_alike_share_inputs_and_weights(trained: Path, exported: Path) -> None:
    graph = onnx.load(str(exported / "model.onnx")).graph
    pairs = [f"{name}.{kind}" for name in ("bert", "asking") for kind in ("input_ids", "attention_mask")]
    assert [entry.name for entry in graph.input] == pairs
    assert [entry.name for entry in graph.output] == ["probabilities"]
    weights = sum((trained / name / "model.safetensors").stat().st_size for name in ("model", "roberta"))
    of_encoders = [one for one in graph.initializer if not one.name.startswith("/heads/")]
    assert sum(len(one.raw_data) for one in of_encoders) < weights


def test_nothing_of_the_directory_says_where_it_was_made(exported: Path) -> None:
    for path in exported.iterdir():
        content = path.read_bytes()
        assert b"site-packages" not in content, path
        assert str(exported.parent).encode() not in content, path


def test_the_card_says_how_to_tokenize_and_how_close_it_came(exported: Path) -> None:
    content = card(exported)
    assert content["classes"] == ["grief", "joy", "numbers"]
    assert [(one["tokenizer"], one["prefix"], one["encoders"]) for one in content["inputs"]] == [
        ("tokenizer.json", "", ["bert", "last"]),
        ("tokenizer-2.json", "query: ", ["asking"]),
    ]
    assert content["inputs"][1]["max_length"] == 24
    assert content["parity"]["largest_difference"] < 1e-5 < content["parity"]["tolerance"]
    assert content["encoders"]["bert"]["layers"] == [2, 3]
    assert content["files"] == {
        path.name: sha256(path.read_bytes()).hexdigest()
        for path in exported.iterdir()
        if path.name != "fusionapp_classifier.json"
    }


@pytest.fixture(scope="module")
def from_graph(trained: Path) -> Path:
    """A run whose encoder is a graph already."""
    call(trained, "export", "encoder", "roberta", "--output", "graph")
    (trained / "graph.toml").write_text(
        'name = "graph"\n[dataset]\ntrain = "train.csv"\n[train]\nseeds = 2\nepochs = 1\n'
        '[encoders.graph]\nadapter = "onnx"\nmodel = "graph"\n'
    )
    call(trained, "train", "graph.toml")
    return trained


def test_an_exported_encoder_is_taken_as_it_stands(from_graph: Path) -> None:
    words = ("export", "model", "runs/graph", "--with-encoders", "--output", "from-graph", "--json")
    report = call(from_graph, *words).json
    assert report["inputs"] == ["graph.input_ids", "graph.attention_mask"]
    assert report["largest_difference"] < 1e-5
    assert (from_graph / "graph" / "model.onnx").is_file()


def test_the_command_says_how_well_the_whole_agrees(from_graph: Path, tmp_path: Path) -> None:
    place = tmp_path / "one"
    words = ("export", "model", "runs/graph/models/seed-1", "--with-encoders", "--output", place)
    ended = call(from_graph, *words)
    assert ended.out == f"{place}\n"
    assert "agrees with predict to" in ended.err
    assert "is there already" in refused(from_graph, *words, code=2)


def test_an_encoder_without_a_graph_is_named_with_the_way_out(finished: Job, tmp_path: Path) -> None:
    words = ("export", "model", "runs/tiny", "--with-encoders", "--output", tmp_path / "whole")
    message = refused(finished.directory, *words, code=2)
    assert "encoder 'lexical' (adapter = \"lexical\") cannot be a part of the graph" in message
    assert "export the heads alone" in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"adapter": "openai"}, "behind a server"),
        ({"adapter": "imported"}, "were imported"),
        ({"adapter": "sentence_transformers"}, "modules are not followed"),
        ({"adapter": "shouting"}, "another package's"),
        ({"adapter": "huggingface", "quantization": "nf4"}, "weights are quantised"),
        ({"adapter": "huggingface", "on_truncate": "chunk"}, "mean over windows"),
        ({"adapter": "huggingface", "trust_remote_code": True}, "code of a model's own"),
    ],
)
def test_settings_that_no_graph_follows_are_refused(tmp_path: Path, settings: Any, why: str) -> None:
    model = {"classes": ["a", "b"], "linear_path": False, "encoders": {"one": {"settings": settings}}}
    (tmp_path / "model.json").write_text(json.dumps(model))
    words = ("export", "model", tmp_path, "--with-encoders", "--output", tmp_path / "whole")
    message = refused(tmp_path, *words, code=2)
    assert f"encoder 'one' (adapter = \"{settings['adapter']}\") cannot be a part of the graph" in message
    assert why in message
    assert "without --with-encoders" in message

"""Encoders as graphs: written once they are right, run like the encoder they were made of."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from exported import exported, exporter, opened, reference
from numpy.typing import NDArray
from tiny_models import TEXTS, tiny_model

from fusionapp.application.ports.encoder import Encoder
from fusionapp.application.services.export_encoder import ExportEncoder
from fusionapp.domain.errors import FusionAppError, ResourceError, UsageError


def vectors(encoder: Encoder) -> NDArray[np.float32]:
    found = encoder.encode(list(TEXTS), encoder.plan(len(TEXTS))).embeddings
    assert isinstance(found, np.ndarray)
    return found


def assert_same(graph: Encoder, encoder: Encoder) -> None:
    found, expected = vectors(graph), vectors(encoder)
    errors = np.linalg.norm(found - expected, axis=-1) / np.linalg.norm(expected, axis=-1)
    assert errors.max() <= 1e-5


@pytest.mark.parametrize(
    ("kind", "wishes"),
    [
        ("bert", {"layers": (1, -1), "pooling": "cls", "normalize": True}),
        ("roberta", {"layers": (0, 2), "pooling": "mean", "prefix": "query: "}),
        pytest.param("mpnet", {"pooling": "last", "max_length": 12}, marks=pytest.mark.slow),
        pytest.param("llama", {"layers": (1, -1), "pooling": "last"}, marks=pytest.mark.slow),
        pytest.param("gemma2", {"pooling": "mean"}, marks=pytest.mark.slow),
        pytest.param("qwen2", {"pooling": "mean", "layers": "all"}, marks=pytest.mark.slow),
    ],
)
def test_a_graph_gives_the_encoders_vectors(kind: str, wishes: dict[str, Any]) -> None:
    graph = opened(exported(kind, **wishes))
    encoder = reference(kind, **wishes)
    assert graph.shape == encoder.shape
    assert_same(graph, encoder)
    assert graph.count_tokens(TEXTS) == encoder.count_tokens(TEXTS)
    assert graph.exceeds(TEXTS).tolist() == encoder.exceeds(TEXTS).tolist()


def test_an_int8_graph_is_smaller_and_near() -> None:
    exact, small = exported("bert"), exported("bert", int8=True)
    assert (small / "model.onnx").stat().st_size < (exact / "model.onnx").stat().st_size
    found, expected = vectors(opened(small)), vectors(opened(exact))
    lengths = np.linalg.norm(found, axis=-1) * np.linalg.norm(expected, axis=-1)
    assert ((found * expected).sum(axis=-1) / lengths).min() > 0.95
    assert opened(small).identity != opened(exact).identity


def test_the_card_says_every_decision() -> None:
    card = json.loads((exported("bert") / "fusionapp_encoder.json").read_text())
    assert card["source"] == "f" * 64
    assert (card["layers"], card["dim"], card["pooling"], card["max_length"]) == ([3], 32, "mean", 96)
    assert (card["prefix"], card["pool_prefix"], card["normalize"], card["lower_case"]) == (
        "",
        True,
        False,
        False,
    )
    assert {"model.onnx", "tokenizer.json"} <= card["files"].keys()
    assert card["parity"]["error"] < 1e-5
    assert str(tiny_model("bert").parent) not in json.dumps(card)


def test_a_graph_that_differs_is_not_written(tmp_path: Path) -> None:
    other = reference("bert", pooling="cls")
    with pytest.raises(UsageError, match="not written"):
        ExportEncoder(opened)(other, exporter("bert", pooling="mean"), str(tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_holds_something_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("kept")
    with pytest.raises(UsageError, match="there already"):
        ExportEncoder(opened)(reference("bert"), exporter("bert"), str(tmp_path))
    assert (tmp_path / "mine").read_text() == "kept"


def test_a_model_that_onnxruntime_cannot_run_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(FusionAppError):
        ExportEncoder(opened)(reference("falcon_alibi"), exporter("falcon_alibi"), str(tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []


def test_without_the_libraries_the_extras_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = exported("bert")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(UsageError, match="extra `onnx`"):
        ExportEncoder(opened)(reference("bert"), exporter("bert"), str(tmp_path / "out"))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    encoder = opened(directory)
    with pytest.raises(UsageError, match="extra `cpu` or `gpu`"):
        encoder.encode(["a"], encoder.plan(1))


def test_memory_that_runs_out_halves_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = opened(exported("bert"))
    plan = attrs.evolve(encoder.plan(5), batch_tokens=400, threads=1)
    expected = encoder.encode(list(TEXTS), plan).embeddings
    session = encoder._load(plan)._session

    class Full:
        def run(self, names: list[str], inputs: dict[str, NDArray[np.int64]]) -> Any:
            if len(inputs["input_ids"]) > 2:
                raise RuntimeError("Failed to allocate memory for requested buffer of size 9")
            return session.run(names, inputs)

    monkeypatch.setattr(encoder._load(plan), "_session", Full())
    found = encoder.encode(list(TEXTS), plan)
    np.testing.assert_allclose(np.asarray(found.embeddings), np.asarray(expected), rtol=1e-4, atol=1e-5)
    assert any("out of memory" in note for note in found.notes)


def test_a_text_that_does_not_fit_alone_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = opened(exported("bert"))
    plan = attrs.evolve(encoder.plan(1), threads=1)

    class Full:
        def run(self, *_: Any) -> Any:
            raise RuntimeError("std::bad_alloc")

    monkeypatch.setattr(encoder._load(plan), "_session", Full())
    with pytest.raises(ResourceError, match="does not fit alone"):
        encoder.encode(["a"], plan)


def test_threads_do_not_change_a_byte() -> None:
    encoder = opened(exported("bert"))
    plan = attrs.evolve(encoder.plan(5), batch_tokens=30)
    one, two = (encoder.encode(list(TEXTS), attrs.evolve(plan, threads=count)) for count in (1, 2))
    assert np.asarray(one.embeddings).tobytes() == np.asarray(two.embeddings).tobytes()


def test_an_encoder_is_sent_to_another_process_without_its_graph() -> None:
    encoder = opened(exported("bert"))
    expected = vectors(encoder)
    again = pickle.loads(pickle.dumps(encoder))
    assert again._loaded is None
    assert vectors(again).tobytes() == expected.tobytes()


def test_a_gpu_that_is_not_there_is_refused_and_never_replaced() -> None:
    from fusionapp.adapters.onnx.encoder import OnnxEncoder

    def none(device: str) -> list[str]:
        raise UsageError(f"no {device}")

    encoder = OnnxEncoder(str(exported("bert")), device="cpu", choose_providers=none)
    with pytest.raises(UsageError, match="no cuda:0"):
        encoder.encode(["a"], attrs.evolve(encoder.plan(1), device="cuda:0"))


@pytest.mark.parametrize("model", ["no/such/directory", ""])
def test_what_is_no_directory_is_refused(model: str) -> None:
    with pytest.raises(UsageError, match="no directory"):
        opened(model or "no-such-directory")

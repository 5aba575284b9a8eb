"""Encoders' and heads' graphs joined: what is written, what is refused, and that nothing is left of a failure."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import onnx
import pytest
from exported import exported, opened
from numpy.typing import NDArray
from onnx import TensorProto, helper
from tiny_models import DIM, TEXTS

from fusionapp.adapters.model_files.exported import read_exported, write_card
from fusionapp.adapters.onnx.joining import join_graphs
from fusionapp.adapters.onnx.text_classifier import OnnxTextClassifierExporter
from fusionapp.application.ports.text_classifier_exporter import TextClassifierParts
from fusionapp.domain.errors import CorruptArtifactError, UsageError

CLASSES = [f"class {number}" for number in range(DIM)]


def heads(*sources: str, operators: int = 20) -> onnx.ModelProto:
    """A graph as `export model` writes: here the softmax of the sum of the embeddings."""
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", 1, DIM]) for name in sources]
    gives = [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["rows", DIM])]
    nodes = [
        helper.make_node("Sum", list(sources), ["sum"]),
        helper.make_node("Flatten", ["sum"], ["flat"]),
        helper.make_node("Softmax", ["flat"], ["probabilities"]),
    ]
    graph = helper.make_graph(nodes, "heads", given, gives)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", operators)], ir_version=10)


def expected(places: Sequence[Path], texts: Sequence[str]) -> NDArray[np.float32]:
    """What such heads say of the encoders' own embeddings."""
    encoders = [opened(place) for place in places]
    logits = sum(np.asarray(one.encode(texts, one.plan(len(texts))).embeddings)[:, 0] for one in encoders)
    shares = np.exp(logits - np.max(logits, axis=1, keepdims=True))
    probabilities: NDArray[np.float32] = (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)
    return probabilities


def parts(*places: Path, texts: Sequence[str] = TEXTS, operators: int = 20) -> TextClassifierParts:
    names = [f"one-{row}" for row in range(len(places))]

    def standing(place: Path) -> Any:
        return lambda _: str(place)

    return TextClassifierParts(
        heads=lambda path: onnx.save(heads(*names, operators=operators), path),
        encoders={name: standing(place) for name, place in zip(names, places, strict=True)},
        classes=CLASSES,
        texts=texts,
        probabilities=expected(places, texts),
    )


def card(directory: Path) -> Any:
    return json.loads((directory / "fusionapp_classifier.json").read_text("utf-8"))


@pytest.mark.parametrize("kinds", [("bert",), ("bert", "qwen2"), ("llama", "bert", "roberta")])
def test_joined_graphs_give_what_their_parts_give(tmp_path: Path, kinds: Sequence[str]) -> None:
    places = [exported(kind) for kind in kinds]
    written = OnnxTextClassifierExporter().export(parts(*places), str(tmp_path / "whole"))
    assert written.largest_difference < 1e-5
    assert len(card(tmp_path / "whole")["inputs"]) == len(kinds)


def test_a_quantised_graph_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"encoder 'one-0': the scale of an 8-bit graph.*without --int8"):
        OnnxTextClassifierExporter().export(parts(exported("bert", int8=True)), str(tmp_path / "whole"))
    assert list(tmp_path.iterdir()) == []


def test_lower_casing_is_part_of_the_tokenizer_that_is_written(tmp_path: Path) -> None:
    place = Path(shutil.copytree(exported("roberta"), tmp_path / "lower"))
    write_card(place, attrs.evolve(read_exported(place), lower_case=True))
    shouted = ("THE QUICK BROWN FOX", "Nobody Came, and the RAIN")
    assert not np.allclose(expected([place], shouted), expected([exported("roberta")], shouted), atol=1e-2)
    OnnxTextClassifierExporter().export(parts(place, texts=shouted), str(tmp_path / "whole"))


def test_other_prefixes_are_other_inputs(tmp_path: Path) -> None:
    asking = exported("bert", prefix="query: ")
    OnnxTextClassifierExporter().export(parts(asking, exported("bert")), str(tmp_path / "whole"))
    assert [one["prefix"] for one in card(tmp_path / "whole")["inputs"]] == ["query: ", ""]


def test_weights_beyond_one_file_lie_beside_it(tmp_path: Path) -> None:
    OnnxTextClassifierExporter(one_file=1000).export(parts(exported("bert")), str(tmp_path / "whole"))
    assert (tmp_path / "whole" / "model.onnx.data").stat().st_size > 10_000
    assert "model.onnx.data" in card(tmp_path / "whole")["files"]


def test_a_graph_that_disagrees_is_not_written(tmp_path: Path) -> None:
    wrong = parts(exported("bert"))
    wrong = attrs.evolve(wrong, probabilities=wrong.probabilities[:, ::-1])
    with pytest.raises(UsageError, match="not written: on 5 texts the graph's probabilities are up to"):
        OnnxTextClassifierExporter().export(wrong, str(tmp_path / "whole"))
    assert list(tmp_path.iterdir()) == []


def test_a_part_of_another_operator_set_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="its graph is of operator set 17, another part's of 20"):
        OnnxTextClassifierExporter().export(parts(exported("bert"), operators=17), str(tmp_path / "whole"))
    assert list(tmp_path.iterdir()) == []


def test_a_graph_that_keeps_tensors_elsewhere_is_not_read(tmp_path: Path) -> None:
    place = Path(shutil.copytree(exported("bert"), tmp_path / "bert"))
    right = parts(place)
    model = onnx.load(str(place / "model.onnx"))
    (tmp_path / "secret").write_bytes(bytes(64))
    stolen = helper.make_tensor("stolen", TensorProto.FLOAT, [16], bytes(64), raw=True)
    onnx.external_data_helper.set_external_data(stolen, "../secret", offset=0, length=64)
    stolen.ClearField("raw_data")
    model.graph.initializer.append(stolen)
    (place / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(CorruptArtifactError):
        OnnxTextClassifierExporter().export(right, str(tmp_path / "whole"))
    assert not (tmp_path / "whole").exists()


def test_weights_that_two_encoders_hold_are_kept_once() -> None:
    two = {name: onnx.load(str(exported("bert") / "model.onnx")) for name in ("a", "b")}
    alone = len(two["a"].graph.initializer)
    large = sum(len(one.raw_data) >= 1024 for one in two["a"].graph.initializer)
    joined = join_graphs(two, {"a": "a", "b": "a"}, heads("a", "b"))
    onnx.checker.check_model(joined, full_check=True)
    assert len(joined.graph.initializer) == 2 * alone - large
    assert [one.name for one in joined.graph.input] == ["a.input_ids", "a.attention_mask"]

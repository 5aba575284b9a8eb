"""Exported directories that were changed, or made to do harm: refused before anything of them is loaded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import onnx
import pytest
from exported import exported, opened
from fakes.watched import watched
from hypothesis import given, settings, strategies as st
from onnx import TensorProto, helper

from fusionapp.adapters.onnx.inspection import inspect_graph
from fusionapp.domain.errors import CorruptArtifactError, FusionAppError, UsageError

CARD = "fusionapp_encoder.json"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A copy of an exported encoder, to be spoilt."""
    return Path(shutil.copytree(exported("bert"), tmp_path / "e"))


def encode(directory: Path) -> None:
    encoder = opened(directory)
    encoder.encode(["a"], encoder.plan(1))


def change(directory: Path, by: Callable[[dict[str, Any]], object]) -> None:
    card = json.loads((directory / CARD).read_text())
    by(card)
    (directory / CARD).write_text(json.dumps(card))


def sign(directory: Path, name: str = "model.onnx") -> None:
    """Make the card agree with a changed file, as someone would who means harm."""
    digest = sha256((directory / name).read_bytes()).hexdigest()
    change(directory, lambda card: card["files"].update({name: digest}))


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "tokenizer_config.json"])
def test_a_flipped_bit_is_found_before_anything_is_loaded(directory: Path, name: str) -> None:
    content = bytearray((directory / name).read_bytes())
    content[len(content) // 2] ^= 1
    (directory / name).write_bytes(content)
    with pytest.raises(CorruptArtifactError, match=f"{name}: is not what was written"):
        _ = opened(directory).identity


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_missing_file_is_named(directory: Path, name: str) -> None:
    (directory / name).unlink()
    with pytest.raises(CorruptArtifactError, match=f"{name}: is missing"):
        encode(directory)


def test_a_directory_without_its_card_is_no_exported_encoder(directory: Path) -> None:
    (directory / CARD).unlink()
    with pytest.raises(UsageError, match="export encoder"):
        encode(directory)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("layers", []),
        ("layers", "all"),
        ("layers", ["x"]),
        ("dim", 0),
        ("dim", "32"),
        ("max_length", None),
        ("prefix", 3),
        ("normalize", "yes"),
        ("files", []),
        ("files", {}),
        ("files", {"../secret": "0"}),
        ("files", {"/etc/passwd": "0"}),
        ("files", {".hidden/../../x": "0"}),
        ("unknown", 1),
        ("format", "another"),
    ],
)
def test_a_card_of_another_form_is_corrupt(directory: Path, key: str, value: Any) -> None:
    change(directory, lambda card: card.update({key: value}))
    with watched() as opened_files, pytest.raises(CorruptArtifactError, match=CARD) as caught:
        encode(directory)
    assert "\n" not in str(caught.value)
    assert Path("/etc/passwd") not in opened_files


def test_a_card_of_a_later_version_says_so(directory: Path) -> None:
    change(directory, lambda card: card.update(version=9))
    with pytest.raises(UsageError, match="version 9"):
        encode(directory)


@pytest.mark.parametrize("content", ["", "[", "3", "null", "[" * 100_000])
def test_a_card_that_is_no_table_is_an_error(directory: Path, content: str) -> None:
    (directory / CARD).write_text(content)
    with pytest.raises(FusionAppError, match=CARD):
        encode(directory)


def test_a_link_out_of_the_directory_is_not_followed(directory: Path) -> None:
    (directory / "model.onnx").rename(directory.parent / "elsewhere.onnx")
    (directory / "model.onnx").symlink_to(directory.parent / "elsewhere.onnx")
    with pytest.raises(CorruptArtifactError, match="leads out"):
        encode(directory)


@pytest.mark.parametrize("place", ["../secret", "/etc/passwd", "a/b", "..", "."])
@pytest.mark.parametrize("where", ["initializer", "attribute", "subgraph", "function", "sparse"])
def test_weights_kept_outside_of_the_directory_are_not_opened(
    directory: Path, place: str, where: str
) -> None:
    onnx.save(_model(place, where), directory / "model.onnx")
    sign(directory)
    with watched() as opened_files, pytest.raises(CorruptArtifactError, match="outside of it"):
        encode(directory)
    assert not {directory.parent / "secret", Path("/etc/passwd")} & set(opened_files)


def test_weights_in_a_file_that_the_card_does_not_name_are_refused(directory: Path) -> None:
    onnx.save(_model("weights.data", "initializer"), directory / "model.onnx")
    sign(directory)
    with pytest.raises(CorruptArtifactError, match=r"does not name weights\.data"):
        encode(directory)


@pytest.mark.parametrize(
    ("domain", "kind"), [("evil", "Run"), ("com.microsoft", "PythonOp"), ("com.microsoft", "EPContext")]
)
def test_an_operator_from_elsewhere_is_refused(directory: Path, domain: str, kind: str) -> None:
    node = helper.make_node(kind, ["x"], ["y"], domain=domain)
    onnx.save(helper.make_model(helper.make_graph([node], "g", [], [])), directory / "model.onnx")
    sign(directory)
    with pytest.raises(CorruptArtifactError, match=f"operator {domain}.{kind}"):
        encode(directory)


def test_a_graph_of_another_kind_is_refused(directory: Path) -> None:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [x], [y])
    opset = [helper.make_opsetid("", 20)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), directory / "model.onnx")
    sign(directory)
    with pytest.raises(CorruptArtifactError, match="takes and gives"):
        encode(directory)


def test_a_tokenizer_of_another_kind_is_refused(directory: Path) -> None:
    (directory / "tokenizer.json").write_text("{}")
    sign(directory, "tokenizer.json")
    with pytest.raises(CorruptArtifactError, match="not a tokenizer"):
        encode(directory)


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_bytes_of_any_kind_are_looked_through_without_harm(tmp_path_factory: Any, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.onnx"
    path.write_bytes(content)
    with suppress(CorruptArtifactError):  # anything else is a fault
        inspect_graph(path)


def _outside(place: str) -> TensorProto:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=place)
    return tensor


def _model(place: str, where: str) -> onnx.ModelProto:
    tensor = _outside(place)
    constant = helper.make_node("Constant", [], ["w"], value=tensor)
    inner = helper.make_graph([constant], "inner", [], [])
    graph = helper.make_graph([], "g", [], [])
    model = helper.make_model(graph)
    if where == "initializer":
        model.graph.initializer.append(tensor)
    elif where == "attribute":
        model.graph.node.append(constant)
    elif where == "subgraph":
        model.graph.node.append(helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner))
    elif where == "function":
        model.functions.append(helper.make_function("f", "F", [], ["w"], [constant], []))
    else:
        sparse = model.graph.sparse_initializer.add()
        sparse.values.CopyFrom(tensor)
    return model

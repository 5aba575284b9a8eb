"""Graphs of encoders and of heads as one graph."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING

from fusionapp.adapters.model_files.exported import INPUTS, OUTPUT
from fusionapp.domain.errors import UsageError

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

PROBABILITIES = "probabilities"
_HEADS = "/heads/"
"""Before all names of the heads' graph; an encoder's name has no slash, so no two parts share a name."""

_SHAREABLE = 1024
"""Bytes of the smallest weights that are looked at for being there twice."""


def input_names(encoder: str) -> tuple[str, ...]:
    """The joined graph's inputs for one tokenization, ``NAME.input_ids`` and ``NAME.attention_mask``."""
    return tuple(f"{encoder}.{name}" for name in INPUTS)


def join_graphs(
    encoders: Mapping[str, ModelProto], reads: Mapping[str, str], heads: ModelProto
) -> ModelProto:
    """One graph of all: tokens in, ``probabilities`` (rows, classes) out. The parts are consumed.

    Parts are tied by Identity nodes, which any runtime leaves out. Weights that several encoders hold are kept
    once, so two encoders that read other layers of one model cost the disk one model.

    Args:
        encoders: by name, graphs of `fusionapp export encoder`.
        reads: by encoder, the name that its inputs go by; encoders of one tokenization share it.
        heads: the graph of `fusionapp export model`; it takes what the encoders give, by their names.

    Raises:
        UsageError: the parts were written for other operator sets.
    """
    import onnx

    parts = {**{f"{name}/": model for name, model in encoders.items()}, _HEADS: heads}
    versions = _operator_sets(parts)
    graph = _frame(reads, heads.graph.output[0].type.tensor_type.shape.dim[1].dim_value)
    for prefix, model in parts.items():
        onnx.compose.add_prefix(model, prefix, inplace=True)
    for name, source in reads.items():
        _tie(graph, {f"{name}/{own}": given for own, given in zip(INPUTS, input_names(source), strict=True)})
        _take(graph, encoders[name].graph)
        _tie(graph, {f"{_HEADS}{name}": f"{name}/{OUTPUT}"})
    _take(graph, heads.graph)
    _tie(graph, {PROBABILITIES: f"{_HEADS}{PROBABILITIES}"})
    _keep_once(graph)
    return onnx.helper.make_model(
        graph,
        opset_imports=[onnx.helper.make_opsetid(domain, version) for domain, version in versions.items()],
        ir_version=max(model.ir_version for model in parts.values()),
        functions=[function for model in parts.values() for function in model.functions],
    )


def _frame(reads: Mapping[str, str], classes: int) -> GraphProto:
    """A graph of inputs and output alone."""
    import onnx

    graph = onnx.GraphProto(name="text_classifier")
    for name in dict.fromkeys(reads.values()):
        graph.input.extend(
            onnx.helper.make_tensor_value_info(entry, onnx.TensorProto.INT64, ["rows", f"{name}.tokens"])
            for entry in input_names(name)
        )
    graph.output.append(
        onnx.helper.make_tensor_value_info(PROBABILITIES, onnx.TensorProto.FLOAT, ["rows", classes])
    )
    return graph


def _operator_sets(parts: Mapping[str, ModelProto]) -> dict[str, int]:
    versions: dict[str, int] = {}
    for prefix, model in parts.items():
        for entry in model.opset_import:
            domain = "" if entry.domain == "ai.onnx" else entry.domain
            if versions.setdefault(domain, entry.version) != entry.version:
                raise UsageError(
                    f"{prefix.strip('/')}: its graph is of operator set {entry.version}, another part's of "
                    f"{versions[domain]}; write every encoder again with `fusionapp export encoder`"
                )
    return versions


def _tie(graph: GraphProto, ends: Mapping[str, str]) -> None:
    """Give values a second name: by new name, the one that is there."""
    import onnx

    graph.node.extend(onnx.helper.make_node("Identity", [given], [new]) for new, given in ends.items())


def _take(graph: GraphProto, part: GraphProto) -> None:
    """Nodes and weights; what is said of shapes in between is left out, for parts call other axes alike."""
    for node in part.node:
        node.ClearField("doc_string")
        node.ClearField("metadata_props")  # an older release kept paths of its machine there
    graph.node.extend(part.node)
    graph.initializer.extend(part.initializer)
    graph.sparse_initializer.extend(part.sparse_initializer)
    for field in ("node", "initializer", "sparse_initializer"):  # or all weights would be in memory twice
        part.ClearField(field)


def _keep_once(graph: GraphProto) -> None:
    """Drop weights that are there already under another name."""
    first: dict[tuple[object, ...], str] = {}
    again: dict[str, str] = {}
    for place in reversed(range(len(graph.initializer))):
        tensor = graph.initializer[place]
        if len(tensor.raw_data) < _SHAREABLE:
            continue
        key = (tensor.data_type, tuple(tensor.dims), sha256(tensor.raw_data).digest())
        if (kept := first.setdefault(key, tensor.name)) != tensor.name:
            again[tensor.name] = kept
            del graph.initializer[place]
    _rename_inputs(graph, again)


def _rename_inputs(graph: GraphProto, names: Mapping[str, str]) -> None:
    """Let nodes, at any depth, read values by other names."""
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                _rename_inputs(inner, names)

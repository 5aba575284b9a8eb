"""Heads as ONNX: traced by torch, checked by onnx, tried by onnxruntime, and only then written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch

from fusionapp.adapters.torch_heads.artefact import SavedHead, load_head
from fusionapp.adapters.torch_heads.graph import HeadsGraph
from fusionapp.adapters.torch_heads.graph_inputs import GraphInputs
from fusionapp.adapters.torch_shared.artefacts import write_whole
from fusionapp.adapters.torch_shared.tracing import forget_source, import_onnx, quiet_tracing
from fusionapp.application.ports.head_exporter import ExportedGraph, HeadExporter, Trial
from fusionapp.domain.errors import ResourceError, UsageError
from fusionapp.domain.linear_layer import LinearLayer

OUTPUT = "probabilities"
_MOST_BYTES = 2**31 - 2**20
"""What protobuf holds, less room for the graph itself."""


@attrs.frozen
class OnnxHeadExporter(HeadExporter):
    """Inputs are named as the encoders, output is ``probabilities``; the number of rows is free.

    A sparse source is a CSR matrix of raw counts in three inputs, ``NAME.indptr`` (rows + 1,) and ``NAME.indices``
    int64, ``NAME.data`` float32, no column twice in a row; TF-IDF is in the graph.

    The model's metadata holds ``labels`` and ``sources`` as JSON, and ``producer``.

    Attributes:
        tolerance: how far a probability may be from `predict`'s. Both add in float32, in another order: what was
            seen is 1e-6.
    """

    tolerance: float = 1e-4

    def export(
        self,
        directories: Sequence[str],
        classes: Sequence[str],
        linear: LinearLayer | None,
        trial: Trial,
        path: str,
    ) -> ExportedGraph:
        """See `HeadExporter.export`."""
        place = Path(path)
        if place.is_dir():
            raise UsageError(f"{path}: is a directory; name the file to write")
        heads = [load_head(directory) for directory in directories]
        _check(heads, classes)
        inputs = GraphInputs([source.card for source in heads[0].sources])
        content = _traced(HeadsGraph(heads, linear).eval(), inputs, trial, list(classes))
        rows = len(trial.probabilities)
        largest = _largest_difference(content, inputs, trial)
        if not largest <= self.tolerance:
            raise UsageError(
                f"{path}: not written: on {rows} stored rows the graph's probabilities are up to "
                f"{largest:.2g} from `fusionapp predict`'s, more than {self.tolerance:g}; serve it with predict"
            )
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            write_whole(place, content)
        except OSError as error:
            raise ResourceError(
                f"{path}: cannot be written ({error.strerror}); free space or choose another place"
            ) from error
        return ExportedGraph(path, inputs.shapes, OUTPUT, rows, largest)


def _check(heads: Sequence[SavedHead], classes: Sequence[str]) -> None:
    """Refuse heads that do not fit into one graph.

    Raises:
        UsageError: they do not.
    """
    names = [card.name for card in heads[0].card.sources]
    if any([card.name for card in head.card.sources] != names for head in heads):
        raise UsageError("heads over different sources cannot share a graph; export them one by one")
    if any(head.card.classes != len(classes) for head in heads):
        raise UsageError(f"heads of another number of classes than {len(classes)} labels; train again")


def _traced(module: HeadsGraph, inputs: GraphInputs, trial: Trial, classes: Sequence[str]) -> bytes:
    numbers = (*module.parameters(), *module.buffers())
    size = sum(tensor.numel() * tensor.element_size() for tensor in numbers)
    if size > _MOST_BYTES:
        raise UsageError(
            f"{module.heads} heads of {size:,} bytes do not fit in one ONNX file (2 GiB); export RUN/models/seed-K"
        )
    onnx = import_onnx()
    try:
        with quiet_tracing():
            program = torch.onnx.export(
                module,
                inputs.example(trial.sources),
                dynamo=True,
                verbose=False,
                input_names=inputs.names,
                output_names=[OUTPUT],
                dynamic_shapes=(inputs.free_axes(),),
            )
    except torch.onnx.OnnxExporterError as error:
        raise UsageError(
            f"torch {torch.__version__} cannot write these heads as ONNX ({type(error).__name__}); install "
            "another release of torch and onnxscript, or serve the run with `fusionapp predict`"
        ) from error
    assert program is not None, "the dynamo exporter gives a program"
    forget_source(program)
    proto: Any = program.model_proto
    onnx.helper.set_model_props(proto, _about(classes, inputs))
    onnx.checker.check_model(proto, full_check=True)
    content: bytes = proto.SerializeToString()
    return content


def _about(classes: Sequence[str], inputs: GraphInputs) -> dict[str, str]:
    """What a graph says of itself."""
    return {
        "labels": json.dumps(list(classes), ensure_ascii=False),
        "sources": json.dumps({name: list(shape) for name, shape in inputs.shapes.items()}),
        "producer": f"fusionapp {version('fusionapp')}",
    }


def _largest_difference(content: bytes, inputs: GraphInputs, trial: Trial) -> float:
    """Between the graph's probabilities, of all rows at once and of the first alone, and those expected."""
    try:
        import onnxruntime
    except ImportError as error:
        raise UsageError(
            "onnxruntime is not installed, and a graph is tried before it is written; install the extra `cpu` or "
            "`gpu` of fusionapp"
        ) from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    differences = []
    expected = trial.probabilities
    for rows in (len(expected), 1):
        (found,) = session.run([OUTPUT], inputs.arrays(trial.sources, rows))
        differences.append(float(np.abs(found - expected[:rows]).max()))
    return max(differences)

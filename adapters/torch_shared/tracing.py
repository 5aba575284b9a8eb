"""What every export to ONNX needs beside `torch.onnx.export` itself."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from fusionapp.adapters.torch_shared.quiet import quiet_loggers
from fusionapp.domain.errors import UsageError


def import_onnx() -> Any:
    """The library that checks a graph, once it is known that torch can write one.

    Raises:
        UsageError: it, or what torch needs to write a graph, is not installed.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401  # torch.onnx needs it, and says so in less plain words
    except ImportError as error:
        raise UsageError(f"{error.name} is not installed; install the extra `onnx` of fusionapp") from error
    return onnx


def quiet_tracing() -> AbstractContextManager[None]:
    """Keep the exporter's narration of its steps off the log, and its libraries' deprecations off the screen."""
    return quiet_loggers("torch.onnx", "onnxscript", "onnx_ir", "root")


def forget_source(program: Any) -> None:
    """Drop from a traced program what says which line of which file each node came of.

    torch 2.13 keeps a stack trace at every node: paths of the machine, and in a small graph most of the bytes.

    Args:
        program: a `torch.onnx.ONNXProgram`.
    """
    for graph in (program.model.graph, *program.model.functions.values()):
        for node in graph.all_nodes():
            node.doc_string = None
            node.metadata_props.clear()

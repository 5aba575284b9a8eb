"""What writing a graph needs beside torch."""

from __future__ import annotations

from typing import Any

from fusionapp.domain.errors import UsageError

EXPORTER_LOGGERS = ("torch.onnx", "onnxscript", "onnx_ir")
"""Who narrates while torch writes a graph."""


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

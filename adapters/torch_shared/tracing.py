"""What every export to ONNX needs beside `torch.onnx.export` itself."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def quiet_tracing() -> Iterator[None]:
    """Keep the exporter's narration of its steps off the log, and its libraries' deprecations off the screen."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "root")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


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

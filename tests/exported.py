"""Tiny encoders exported as graphs, each once a test run, and how to open them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tiny_models import tiny_model

from fusionapp.adapters.huggingface.decisions import Wishes
from fusionapp.adapters.huggingface.encoder import HuggingFaceEncoder
from fusionapp.adapters.huggingface.onnx_exporter import OnnxEncoderExporter
from fusionapp.adapters.machine.onnx_providers import choose_providers
from fusionapp.adapters.onnx.encoder import OnnxEncoder
from fusionapp.application.services.export_encoder import ExportEncoder

_FOLDER = TemporaryDirectory(prefix="exported-encoders-")


def reference(kind: str, **settings: Any) -> HuggingFaceEncoder:
    """The encoder that a graph is held to."""
    return HuggingFaceEncoder(str(tiny_model(kind)), **settings, dtype="float32", device="cpu")


def opened(directory: str | Path, **settings: Any) -> OnnxEncoder:
    """An exported encoder on the CPU."""
    return OnnxEncoder(str(directory), device="cpu", choose_providers=choose_providers, **settings)


def exporter(kind: str, **settings: Any) -> OnnxEncoderExporter:
    return OnnxEncoderExporter(str(tiny_model(kind)), Wishes(**settings), source="f" * 64)


def exported(kind: str, int8: bool = False, **settings: Any) -> Path:
    """The directory of an exported tiny model; settings are those of `Wishes`."""
    return _exported(kind, int8, tuple(sorted(settings.items())))


@cache
def _exported(kind: str, int8: bool, settings: tuple[tuple[str, Any], ...]) -> Path:
    path = Path(_FOLDER.name) / f"{kind}-{len(list(Path(_FOLDER.name).iterdir()))}"
    wishes = dict(settings)
    ExportEncoder(opened)(reference(kind, **wishes), exporter(kind, **wishes), str(path), int8)
    return path

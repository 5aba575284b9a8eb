"""Writing a trained classifier as one graph, encoders included."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fusionapp.application.ports.encoder import Encoder
from fusionapp.application.ports.text_classifier_exporter import ExportedTextClassifier
from fusionapp.application.services.export_text_classifier import ExportableEncoder
from fusionapp.domain.embeddings import fingerprint
from fusionapp.domain.errors import UsageError
from fusionapp.domain.recipe import TrainingRecipe
from fusionapp.entrypoints import gateways as build
from fusionapp.entrypoints.experiment.environment import read_environment
from fusionapp.entrypoints.experiment.schema import Experiment
from fusionapp.entrypoints.prediction import find_heads, load
from fusionapp.entrypoints.session import build_encoders, open_session

_WITHOUT_GRAPH = {
    "lexical": "hashed n-grams have no ONNX operators",
    "openai": "its model is behind a server",
    "imported": "its embeddings were imported, and there is no model",
    "sentence_transformers": 'its modules are not followed here; adapter = "huggingface" is exported',
}
_EXACT = {
    "dtype": "float32",
    "device": "cpu",
    "on_truncate": "warn",
    "compile": False,
    "batch_tokens": None,
}
"""How encoders compute when a graph is held to them."""


def export_text_classifier(place: Path, output: Path) -> ExportedTextClassifier:
    """Write a run, or one of its models, as a directory that classifies texts without this program.

    Raises:
        UsageError: there is no model, or an encoder of it cannot be exported.
        CorruptArtifactError: an encoder is not the one that the model was trained with.
    """
    saved = find_heads(place)
    settings = {name: dict(encoder["settings"]) for name, encoder in saved.model["encoders"].items()}
    for name, table in settings.items():
        _refuse(name, table)
    load(place, device="cpu")  # compares each encoder with the one that the heads were trained on
    session = open_session(Experiment(train=TrainingRecipe(device="cpu")), run=place, quiet=True)
    exact = {
        name: {**table, **{key: value for key, value in _EXACT.items() if key in table}}
        for name, table in settings.items()
    }
    encoders = build_encoders(session.gateways, exact)
    exported: ExportedTextClassifier = session.services.export_text_classifier()(
        {name: _exportable(encoder, exact[name]) for name, encoder in encoders.items()},
        saved.heads,
        list(saved.model["classes"]),
        saved.path,
        str(output),
    )
    return exported


def _refuse(name: str, table: Mapping[str, Any]) -> None:
    """Raise where an encoder's settings say that there is no graph that gives its vectors."""
    adapter, why = table["adapter"], None
    if adapter not in ("huggingface", "onnx"):
        why = _WITHOUT_GRAPH.get(adapter, "it is another package's")
    elif table.get("quantization", "none") != "none":
        why = f'its weights are quantised ("{table["quantization"]}"), and a graph of float32 gives other vectors'
    elif table.get("on_truncate") == "chunk":
        why = 'on_truncate = "chunk" takes the mean over windows of a text, and a graph sees one'
    elif table.get("trust_remote_code"):
        why = "code of a model's own is not exported"
    if why is not None:
        raise UsageError(
            f'encoder {name!r} (adapter = "{adapter}") cannot be a part of the graph: {why}; export the heads '
            "alone, without --with-encoders"
        )


def _exportable(encoder: Encoder, table: Mapping[str, Any]) -> ExportableEncoder:
    if table["adapter"] == "onnx":
        return ExportableEncoder(encoder, str(Path(table["model"]).expanduser()))
    identity = fingerprint(encoder.identity)
    return ExportableEncoder(
        encoder, build.onnx_encoder_exporter(dict(table), identity, read_environment().model_cache)
    )

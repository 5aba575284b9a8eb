"""Which formats hold which encoder's embeddings, known before anything is encoded."""

from __future__ import annotations

from collections.abc import Sequence

from fusionapp.domain.errors import UsageError
from fusionapp.entrypoints.experiment.structure import AnyExperiment

FORMATS = ("npy", "npz", "jsonl", "parquet", "pt", "safetensors")
SPARSE = "npz"
DENSE = ("huggingface", "sentence_transformers", "onnx", "openai")
"""Adapters whose embeddings are dense whatever their settings."""


def check_formats(formats: Sequence[str], experiment: AnyExperiment) -> None:
    """Refuse formats that leave an encoder without one.

    Raises:
        UsageError: there is such an encoder; named.
    """
    for name, settings in experiment.encoders.items() if formats else ():
        if settings.adapter in DENSE:
            fitting_formats(formats, sparse=False, encoder=name)


def fitting_formats(formats: Sequence[str], sparse: bool, encoder: str) -> list[str]:
    """Those of the formats that hold an encoder's embeddings.

    Raises:
        UsageError: there is none.
    """
    if sparse:
        return [SPARSE]
    dense = [form for form in dict.fromkeys(formats) if form != SPARSE]
    if not dense:
        others = ", ".join(form for form in FORMATS if form != SPARSE)
        raise UsageError(
            f"--format {SPARSE}: holds sparse embeddings, and those of {encoder} are dense; add {others}"
        )
    return dense

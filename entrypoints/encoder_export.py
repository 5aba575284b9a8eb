"""Writing an encoder as a graph."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from fusionapp.application.ports.encoder_exporter import Parity
from fusionapp.application.services.guard_experiment import RESOLVED
from fusionapp.domain.embeddings import fingerprint
from fusionapp.domain.errors import UsageError
from fusionapp.entrypoints import gateways as build
from fusionapp.entrypoints.experiment.encoder_tables import EncoderSettings, HuggingFaceSettings
from fusionapp.entrypoints.experiment.environment import read_environment
from fusionapp.entrypoints.experiment.load import load_experiment
from fusionapp.entrypoints.experiment.schema import Experiment
from fusionapp.entrypoints.session import open_session

_EXPERIMENTS = (".toml", ".json", ".yaml", ".yml")


def export_encoder(
    source: str, name: str | None, output: str | os.PathLike[str], int8: bool = False
) -> Parity:
    """Write one encoder as a directory that ``adapter = "onnx"`` reads, once its vectors are the encoder's.

    Args:
        source: an experiment file, a run directory, or a model: an alias, a hub id or a local directory.
        name: which encoder of the experiment; None where it has one.
        output: the directory to write.
        int8: whether weights are quantised.

    Returns:
        How close the graph came.

    Raises:
        UsageError: there is no such encoder, it cannot be exported, or the graph does not give its vectors.
    """
    settings = attrs.evolve(
        _choose(source, name),
        dtype="float32",
        device="cpu",
        quantization="none",
        on_truncate="warn",
        compile=False,
    )
    if settings.trust_remote_code:
        raise UsageError("trust_remote_code: code of a model's own is not exported; leave it out")
    session = open_session(Experiment(encoders={"encoder": settings}), quiet=True)
    encoder = session.encoders()["encoder"]
    exporter = build.onnx_encoder_exporter(
        dict(session.resolved["encoders"]["encoder"]),
        fingerprint(encoder.identity),
        read_environment().model_cache,
    )
    parity: Parity = session.services.export_encoder()(encoder, exporter, str(output), int8)
    return parity


def _choose(source: str, name: str | None) -> HuggingFaceSettings:
    encoders = _encoders(source)
    if name is None and len(encoders) == 1:
        name = next(iter(encoders))
    if name is None or name not in encoders:
        asked = "--encoder: missing" if name is None else f"encoder {name!r} is not among those of {source}"
        raise UsageError(f"{asked}; name one of {', '.join(encoders)}")
    settings: Any = encoders[name]
    if not isinstance(settings, HuggingFaceSettings):
        raise UsageError(
            f'encoder {name!r}: adapter = "{settings.adapter}" is not exported; only "huggingface" is'
        )
    return settings


def _encoders(source: str) -> Mapping[str, EncoderSettings]:
    place = Path(source)
    if (place / RESOLVED).is_file() or (place.suffix in _EXPERIMENTS and place.is_file()):
        return load_experiment(source, defaults=read_environment().defaults()).encoders
    return {place.name: HuggingFaceSettings(model=source)}

"""A toy whose labels a tiny transformer can learn, and frozen heads over it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import attrs
import numpy as np
from fakes.heads import CountingProgress
from fakes.tracker import RecordingTracker
from scipy.sparse import csr_array
from tiny_models import tiny_model

from fusionapp.adapters.huggingface.encoder import HuggingFaceEncoder
from fusionapp.adapters.huggingface.tuning.joint import open_joint
from fusionapp.adapters.huggingface.tuning.settings import EncoderSettings
from fusionapp.adapters.torch_heads.trainer import TorchHeadTrainer
from fusionapp.adapters.torch_heads.tuner import TorchClassifierTuner
from fusionapp.adapters.torch_shared.tunable import TunableEncoder
from fusionapp.application.ports.classifier_tuner import ClassifierTuner, JointlyTuned, TuningRows
from fusionapp.application.ports.heads import HeadTrainer, LabelledEmbeddings
from fusionapp.domain.embeddings import Embeddings
from fusionapp.domain.fusion.spec import FusionSpec
from fusionapp.domain.recipe import EncoderTuning, TrainingRecipe

WORDS = (("quick", "fox"), ("happy", "good"), ("sad", "lonely"))
LAYERS = (-2, -1)
SEEDS = (0, 1)
_FOLDER = TemporaryDirectory(prefix="joint-tuning-")


def recipe(tuning: Mapping[str, Any] | None = None, **changes: Any) -> TrainingRecipe:
    """Small and quick, without a path."""
    settings: dict[str, Any] = {"epochs": 4, "learning_rate": 3e-3, "batch_size": 16, **(tuning or {})}
    plain = TrainingRecipe(
        hidden_dims=(16,), batch_size=16, epochs=2, device="cpu", linear_path="none", calibrate=False
    )
    return attrs.evolve(plain, tuning=EncoderTuning(**settings), **changes)


@cache
def rows(kind: str, count: int, seed: int) -> TuningRows:
    """Texts with a word of their class among others, read by a tiny model and counted by a sparse source."""
    random = Random(seed)
    labels = np.array([random.randrange(3) for _ in range(count)])
    fillers = ("the", "was", "and", "it", "day", "for")
    texts = [
        " ".join(random.sample([random.choice(WORDS[label]), *random.choices(fillers, k=5)], 6))
        for label in labels.tolist()
    ]
    encoder = HuggingFaceEncoder(
        str(tiny_model(kind)), layers=LAYERS, pooling="mean", dtype="float32", device="cpu"
    )
    dense = np.asarray(encoder.encode(texts, encoder.plan(count)).embeddings)
    counts = np.random.default_rng(seed).random((count, 20)) < 0.2
    sources: dict[str, Embeddings] = {"model": dense, "words": csr_array(counts.astype(np.float32))}
    return TuningRows(LabelledEmbeddings(sources, labels), texts)


def splits(kind: str) -> tuple[TuningRows, TuningRows]:
    """Train and validation."""
    return rows(kind, 96, 1), rows(kind, 48, 2)


def open_tiny(kind: str) -> Any:
    """What opens a tiny model by any name."""

    def open_encoder(name: str, how: TrainingRecipe, seed: int) -> TunableEncoder:
        return open_joint(
            name, EncoderSettings(str(tiny_model(kind)), pooling="mean", layers=LAYERS), how, seed
        )

    return open_encoder


def torch_tuner(kind: str = "bert") -> ClassifierTuner:
    """The tuner of a tiny model."""
    return TorchClassifierTuner(open_tiny(kind), dtype="float32")


@cache
def frozen_heads(kind: str, trainer: HeadTrainer | None = None) -> tuple[str, ...]:
    """Directories of heads over the frozen model."""
    directories = [str(Path(_FOLDER.name, kind, type(trainer).__name__, f"seed-{seed}")) for seed in SEEDS]
    train, validation = splits(kind)
    (trainer or TorchHeadTrainer(dtype="float32")).train(
        FusionSpec(bag_width=4),
        recipe(),
        SEEDS,
        3,
        train.embeddings,
        validation.embeddings,
        directories,
        RecordingTracker(),
        CountingProgress(),
    )
    return tuple(directories)


def tune(
    tuner: ClassifierTuner,
    start: tuple[str, ...],
    folder: Path,
    how: TrainingRecipe | None = None,
    kind: str = "bert",
    tracker: RecordingTracker | None = None,
    **changes: Any,
) -> JointlyTuned:
    """Tune the dense source; `changes` are of the arguments."""
    train, validation = splits(kind)
    arguments: dict[str, Any] = {
        "recipe": how or recipe(),
        "encoders": ["model"],
        "start": start,
        "seed": 0,
        "train": train,
        "validation": validation,
        "heads": [str(folder / f"seed-{seed}") for seed in SEEDS],
        "directories": {"model": str(folder / "model")},
        "tracker": tracker or RecordingTracker(),
        "progress": CountingProgress(),
        **changes,
    }
    return tuner.tune(**arguments)

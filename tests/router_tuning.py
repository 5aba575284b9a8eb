"""Prompts whose topic decides which model is good, a tiny encoder to tune on them, and a short tuning."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from fakes.heads import CountingProgress
from fakes.routers import answers_of
from fakes.tracker import RecordingTracker
from tiny_models import tiny_model

from fusionapp.adapters.huggingface.encoder import HuggingFaceEncoder
from fusionapp.adapters.torch_routers.tuner import TorchRouterEncoderTuner
from fusionapp.application.ports.router import AnsweredPrompts, Prompts
from fusionapp.application.ports.router_tuner import RouterEncoderTuner, TunedRouterEncoder
from fusionapp.application.services.encode_texts import encode_texts
from fusionapp.domain.finetuning import FineTuning
from fusionapp.domain.recipe import EncoderTuning
from fusionapp.domain.routing.recipe import RouterRecipe
from fusionapp.entrypoints.experiment.encoder_tables import HuggingFaceSettings
from fusionapp.entrypoints.tunable_encoders import open_tunable

TOPICS = (("fox", "dog", "house", "lazy"), ("happy", "thank", "good", "day"))
QUALITY = ((0.9, 0.1, 0.5, 0.2), (0.1, 0.9, 0.5, 0.2))

RECIPE = RouterRecipe(
    base="none",
    features=False,
    hidden_dims=(16,),
    dropout=0.0,
    embedding_dims=(8,),
    embedding_model_epochs=1,
    epochs=16,
    patience=16,
    batch_size=16,
    learning_rate=1e-2,
    finetuning=FineTuning(rank=4, dropout=0.0),
    tuning=EncoderTuning(
        epochs=10, batch_size=16, learning_rate=1e-3, evaluations=1, patience=10, schedule="constant"
    ),
    device="cpu",
)
"""A short training without a base, in which the encoder has to do the work."""


def tuned_by(finetuning: dict[str, Any] | None = None, tuning: dict[str, Any] | None = None) -> RouterRecipe:
    """`RECIPE` with other keys of its tables."""
    return attrs.evolve(
        RECIPE,
        finetuning=attrs.evolve(RECIPE.finetuning, **(finetuning or {})),
        tuning=attrs.evolve(RECIPE.tuning, **(tuning or {})),
    )


def prompts(count: int, seed: int) -> tuple[list[str], list[int]]:
    """Texts and their topics; where a topic's word stands is left to chance."""
    rng = np.random.default_rng(seed)
    topics = [row % 2 for row in range(count)]
    return [" ".join([*rng.permutation([*rng.choice(TOPICS[one], 2), "the", "a"])]) for one in topics], topics


@cache
def answered(kind: str, count: int, seed: int) -> AnsweredPrompts:
    """Prompts with the untuned encoder's embeddings, under "tiny"."""
    texts, topics = prompts(count, seed)
    encoder = HuggingFaceEncoder(str(tiny_model(kind)), device="cpu", dtype="float32")
    noise = np.random.default_rng(seed).normal(size=(count, 4)) * 0.02
    return answers_of(
        Prompts(texts, encode_texts(texts, 0, {"tiny": encoder})), np.array(QUALITY)[topics] + noise
    )


def torch_tuner(kind: str) -> RouterEncoderTuner:
    """What tunes a tiny encoder."""
    table = attrs.asdict(HuggingFaceSettings(str(tiny_model(kind)), device="cpu"))
    return TorchRouterEncoderTuner(open_tunable({"tiny": table}, None))


def tune(
    tuner: RouterEncoderTuner,
    folder: Path,
    kind: str = "bert",
    recipe: RouterRecipe = RECIPE,
    tracker: RecordingTracker | None = None,
    encoder: str = "tiny",
) -> TunedRouterEncoder:
    """Tune on 48 prompts, choose on 24."""
    return tuner.tune(
        recipe,
        encoder,
        0,
        answered(kind, 48, 0),
        answered(kind, 24, 1),
        str(folder),
        tracker or RecordingTracker(),
        CountingProgress(),
    )

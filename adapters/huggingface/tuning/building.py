"""Putting a training loop together."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch

from fusionapp.adapters.huggingface.tuning.checkpoints import Checkpoints
from fusionapp.adapters.huggingface.tuning.distributed import Crew
from fusionapp.adapters.huggingface.tuning.fingerprint import fingerprint_run
from fusionapp.adapters.huggingface.tuning.loop import TrainingLoop
from fusionapp.adapters.huggingface.tuning.objective import TEMPERATURE_TIMES, Objective
from fusionapp.adapters.huggingface.tuning.optimizers import EncoderOptimizer, group_weights
from fusionapp.adapters.huggingface.tuning.plan import plan_steps
from fusionapp.adapters.huggingface.tuning.pool_embeddings import (
    PoolEmbeddings,
    TokenizedPairs,
    tokenize_pairs,
)
from fusionapp.adapters.huggingface.tuning.scoring import Scoring
from fusionapp.adapters.huggingface.tuning.steps import Stepper
from fusionapp.adapters.huggingface.tuning.trainable import TrainableEncoder
from fusionapp.adapters.torch_shared.device import automatic_dtype
from fusionapp.application.ports.encoder_tuner import PairSet
from fusionapp.application.ports.progress import Progress, ProgressTask
from fusionapp.application.ports.tracker import Tracker
from fusionapp.domain.retrieval.recipe import TuningRecipe

logger = logging.getLogger(__name__)

_OFTEN = 0.1
"""Share of texts that are cut above which people are told."""


def build_loop(
    encoder: TrainableEncoder,
    recipe: TuningRecipe,
    seed: int,
    train: PairSet,
    validation: PairSet,
    checkpoints: Path,
    tracker: Tracker,
    progress: Progress,
    crew: Crew,
) -> TrainingLoop:
    """Tokenise both pair sets and make ready what the loop is made of.

    Raises:
        UsageError: the recipe does not fit the data, or its optimiser cannot run here.
    """
    dtype = compute_dtype(recipe, crew.device)
    objective, optimizer = build_objective(encoder, recipe)
    embeddings = PoolEmbeddings(encoder, dtype, recipe.batch_tokens)
    learned = tokenize_pairs(encoder, train, "train")
    judged = tokenize_pairs(encoder, validation, "validation")
    if crew.leads:
        _tell_cuts(encoder, learned)
    fingerprint = fingerprint_run(encoder, recipe, seed, train, validation, crew.size, dtype)
    # Dropout differs between processes, which hold different texts.
    torch.manual_seed(seed * 1009 + crew.rank)
    return TrainingLoop(
        encoder=encoder,
        recipe=recipe,
        seed=seed,
        plan=plan_steps(recipe, len(train.pairs)),
        rate=recipe.step_size,
        train=learned,
        objective=objective,
        optimizer=optimizer,
        stepper=Stepper(encoder, embeddings, objective, optimizer, crew, recipe.clip),
        scoring=Scoring(encoder, embeddings, objective, recipe, judged),
        checkpoints=Checkpoints(checkpoints, fingerprint),
        crew=crew,
        tracker=tracker if crew.leads else _Silent(),
        progress=progress if crew.leads else _Silent(),
    )


def build_objective(encoder: TrainableEncoder, recipe: TuningRecipe) -> tuple[Objective, EncoderOptimizer]:
    """The loss, and what steps the weights by it; nothing is computed yet.

    Raises:
        UsageError: the loss does not fit the encoder, or the optimiser cannot run here.
    """
    objective = Objective(recipe, encoder.dim, encoder.device)
    extra = {TEMPERATURE_TIMES: objective.parameters}
    groups = group_weights(encoder.trained())
    return objective, EncoderOptimizer(recipe.optimizer, groups, recipe.weight_decay, extra)


def compute_dtype(recipe: TuningRecipe, device: torch.device) -> torch.dtype:
    """What is multiplied in: as asked; "auto" is bfloat16 where the device multiplies it, as in extraction."""
    if recipe.dtype != "auto":
        return torch.bfloat16 if recipe.dtype == "bfloat16" else torch.float32
    chosen = automatic_dtype(device)
    # float16 gradients vanish without a scaled loss; a GPU without bfloat16 trains in float32.
    return chosen if chosen is torch.bfloat16 else torch.float32


def _tell_cuts(encoder: TrainableEncoder, train: TokenizedPairs) -> None:
    """Warn where many texts are cut that the encoder has positions for: nobody finds what stands at their ends."""
    positions, longest = encoder.decisions.architecture.positions, encoder.decisions.max_length
    if positions is None or positions <= longest:
        return
    asked = encoder.settings
    for side, own, table in (
        ("queries", asked.max_query_length, train.queries),
        ("documents", asked.max_document_length, train.documents),
    ):
        share = table.truncated / len(table.lengths)
        if share > _OFTEN and own is None:
            logger.warning(
                "train: %.0f %% of the %s are cut at %d tokens; max_length in the encoder's table may be up to %d",
                100 * share,
                side,
                longest,
                positions,
            )


class _Silent(Tracker, Progress, ProgressTask):
    """What a process that does not lead tells people: nothing."""

    def log(self, run: str, step: int, metrics: Mapping[str, float]) -> None:
        pass

    def close(self) -> None:
        pass

    def task(self, name: str, total: int, unit: str, done: int = 0) -> AbstractContextManager[ProgressTask]:
        return nullcontext(self)

    def advance(self, amount: int, **rates: float) -> None:
        pass

"""Tuning a transformer and a router's network together, in torch."""

from __future__ import annotations

from time import perf_counter

import attrs
import numpy as np
import torch

from fusionapp.adapters.torch_routers.joint import JointRouting
from fusionapp.adapters.torch_routers.network import RouterNetwork
from fusionapp.adapters.torch_routers.phases import draw_networks
from fusionapp.adapters.torch_routers.rows import Rows, as_rows, prompt_columns
from fusionapp.adapters.torch_routers.stacked import load_state
from fusionapp.adapters.torch_routers.trainer import among, check_training
from fusionapp.adapters.torch_routers.training import StackTraining
from fusionapp.adapters.torch_shared.device import resolve_device
from fusionapp.adapters.torch_shared.failures import memory_guard
from fusionapp.adapters.torch_shared.router_inputs import (
    InputCard,
    check_inputs,
    read_cards,
    text_features,
)
from fusionapp.adapters.torch_shared.streams import seed_stream
from fusionapp.adapters.torch_shared.tunable import OpenTunable, TunableEncoder
from fusionapp.application.ports.progress import Progress
from fusionapp.application.ports.router import AnsweredPrompts
from fusionapp.application.ports.router_tuner import RouterEncoderTuner, TunedRouterEncoder
from fusionapp.application.ports.tracker import Tracker
from fusionapp.domain.errors import UsageError
from fusionapp.domain.recipe import TrainingRecipe
from fusionapp.domain.routing.comparisons import enough_compared
from fusionapp.domain.routing.features import fit_features
from fusionapp.domain.routing.recipe import RouterRecipe

_WAY_OUT = (
    "lower train.tuning.batch_tokens, which changes no gradient, or train.tuning.batch_size, or set "
    'train.tuning.activation_checkpointing = true or train.finetuning.method = "lora"'
)


@attrs.frozen(eq=False)
class _Splits:
    """Rows of both splits, by the tuned encoder alone.

    Attributes:
        models: that are scored.
        train: without a base.
        validation: likewise.
        width: columns of the encoder's embedding.
    """

    models: tuple[str, ...]
    train: Rows
    validation: Rows
    width: int


@attrs.frozen
class TorchRouterEncoderTuner(RouterEncoderTuner):
    """Tunes an encoder under one network, which is trained over its untuned embeddings first.

    No base stands below that network: one over embeddings that change with every step would have to be fitted
    anew with each.

    Attributes:
        open: opens the encoder.
    """

    open: OpenTunable

    def tune(
        self,
        recipe: RouterRecipe,
        encoder: str,
        seed: int,
        train: AnsweredPrompts,
        validation: AnsweredPrompts,
        directory: str,
        tracker: Tracker,
        progress: Progress,
    ) -> TunedRouterEncoder:
        """See `RouterEncoderTuner.tune`; models compared too rarely are left out."""
        begun = perf_counter()
        check_training(recipe, [seed], train, validation, [directory])
        with memory_guard(_WAY_OUT):
            splits = _splits(recipe, encoder, train, validation)
            opened = self._open(recipe, encoder, seed, train, validation)
            preflight = opened.preflight
            device = splits.train.prompts.device
            network = _start(recipe, splits, seed, tracker, progress)
            with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
                # The network's dropout has a stream of its own; an encoder's draws what torch gives it.
                torch.manual_seed(int(seed_stream(seed, "dropout").initial_seed() % 2**63))
                joint = JointRouting(
                    network, recipe, opened, splits.train, splits.validation, splits.width, seed
                )
                with progress.task("tune the encoder", total=joint.steps, unit="steps") as task:
                    joint(tracker, task)
            table = opened.save(directory) if joint.best_step else None
        return TunedRouterEncoder(
            table=table,
            preflight=preflight,
            steps=joint.step,
            best_step=joint.best_step,
            validation=joint.validation,
            untuned=joint.untuned,
            seconds=perf_counter() - begun,
        )

    def _open(
        self,
        recipe: RouterRecipe,
        name: str,
        seed: int,
        train: AnsweredPrompts,
        validation: AnsweredPrompts,
    ) -> TunableEncoder:
        joint = TrainingRecipe(
            finetuning=recipe.finetuning, tuning=recipe.encoder_tuning(), device=recipe.device
        )
        encoder = self.open(name, joint, seed)
        encoder.read("train", train.prompts.texts)
        encoder.read("validation", validation.prompts.texts)
        return encoder


def _splits(
    recipe: RouterRecipe, encoder: str, train: AnsweredPrompts, validation: AnsweredPrompts
) -> _Splits:
    card = _card(encoder, train)
    check_inputs([card], validation.prompts)
    models = enough_compared(train.battles, recipe.min_model_comparisons)
    fitted = fit_features(text_features(train.prompts.texts)) if recipe.features else None
    device = resolve_device(recipe.device)
    rows = []
    for split, balanced in ((train, recipe.balance_model_samples), (validation, False)):
        kept = among(split, models)
        features = text_features(kept.prompts.texts) if recipe.features else None
        columns = prompt_columns([card], kept.prompts, features, fitted)
        nothing = np.zeros(kept.scores.quality.shape, dtype=np.float32)
        rows.append(as_rows(kept, columns, nothing, balanced, device))
    return _Splits(tuple(models), rows[0], rows[1], card.layers * card.dim)


def _card(encoder: str, train: AnsweredPrompts) -> InputCard:
    cards = {card.name: card for card in read_cards(train.prompts)}
    if encoder not in cards or cards[encoder].sparse:
        known = ", ".join(repr(name) for name, card in cards.items() if not card.sparse)
        raise UsageError(
            f"tuning: the prompts have no dense embeddings of {encoder!r}; there are {known or 'none'}"
        )
    return cards[encoder]


def _start(
    recipe: RouterRecipe, splits: _Splits, seed: int, tracker: Tracker, progress: Progress
) -> RouterNetwork:
    """The network after its own training over untuned embeddings."""
    network = draw_networks(
        recipe, splits.models, splits.train, [seed], tracker, ["encoder-model-embeddings"]
    )
    with progress.task("train a network to tune under", recipe.epochs, "epochs") as task:
        training = StackTraining(network, recipe, [seed], splits.train, splits.validation)
        (run,) = training(tracker, task)
    load_state(network, run.state)
    return network.to(splits.train.prompts.device)

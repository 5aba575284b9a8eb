"""The router trainer in torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.adapters.torch_routers.artefact import RouterCard, save_router
from fusionapp.adapters.torch_routers.phases import draw_networks
from fusionapp.adapters.torch_routers.rows import Rows, as_rows, base_logits, prompt_columns
from fusionapp.adapters.torch_routers.saved_models import save_model_embeddings
from fusionapp.adapters.torch_routers.share import choose_share, joined
from fusionapp.adapters.torch_routers.training import SeedRun, StackTraining, measure_scores
from fusionapp.adapters.torch_shared.device import resolve_device
from fusionapp.adapters.torch_shared.failures import memory_guard
from fusionapp.adapters.torch_shared.router_inputs import (
    InputCard,
    check_inputs,
    has_dense,
    read_cards,
    text_features,
)
from fusionapp.application.ports.progress import Progress
from fusionapp.application.ports.router import AnsweredPrompts, RouterTrainer, TrainedRouter
from fusionapp.application.ports.router_base import FittedBase, RouterBases
from fusionapp.application.ports.tracker import Tracker
from fusionapp.domain.errors import UsageError
from fusionapp.domain.routing.comparisons import battles_among, enough_compared, scores_among
from fusionapp.domain.routing.features import fit_features
from fusionapp.domain.routing.mapping import quality_of_score
from fusionapp.domain.routing.recipe import RouterRecipe
from fusionapp.domain.routing.success import Isotonic, Temperature
from fusionapp.domain.standardization import Standardization

Floats = NDArray[np.float32]
_WAY_OUT = 'lower train.batch_size or train.hidden_dims, or set train.device = "cpu"'


@attrs.frozen(eq=False)
class _Prepared:
    """What all seeds share."""

    recipe: RouterRecipe
    models: Sequence[str]
    cards: tuple[InputCard, ...]
    features: Standardization | None
    base: FittedBase | None
    train: Rows
    validation: Rows
    quality: NDArray[np.float64]


class TorchRouterTrainer(RouterTrainer):
    """Trains a network per seed, all of them at once, over one base, which is the same for all."""

    def __init__(self, bases: RouterBases) -> None:
        """Args:
        bases: fits the base of recipes that ask for one.
        """
        self._bases = bases

    def train(
        self,
        recipe: RouterRecipe,
        seeds: Sequence[int],
        train: AnsweredPrompts,
        validation: AnsweredPrompts,
        directories: Sequence[str],
        tracker: Tracker,
        progress: Progress,
    ) -> Sequence[TrainedRouter]:
        """See `RouterTrainer.train`; models compared too rarely are left out.

        Raises:
            UsageError: also for a loss that is not finite.
        """
        check_training(recipe, seeds, train, validation, directories)
        with memory_guard(_WAY_OUT):
            prepared = self._prepare(recipe, train, validation)
            with progress.task("train routers", len(seeds) * recipe.epochs, "epochs") as task:
                series = [f"seed-{seed}-model-embeddings" for seed in seeds]
                network = draw_networks(recipe, prepared.models, prepared.train, seeds, tracker, series)
                parameters = sum(p[0].numel() for p in network.parameters() if p.requires_grad)
                training = StackTraining(network, recipe, seeds, prepared.train, prepared.validation)
                runs = training(tracker, task)
            return [
                _save(prepared, parameters, run, directory)
                for run, directory in zip(runs, directories, strict=True)
            ]

    def _prepare(
        self, recipe: RouterRecipe, train: AnsweredPrompts, validation: AnsweredPrompts
    ) -> _Prepared:
        models = enough_compared(train.battles, recipe.min_model_comparisons)
        train, validation = among(train, models), among(validation, models)
        cards = tuple(card for card in read_cards(train.prompts) if not card.sparse)
        if not has_dense(cards):
            raise UsageError(
                "routing: the network reads dense embeddings, and there are none; name an encoder"
            )
        check_inputs(cards, validation.prompts)
        device = resolve_device(recipe.device)
        features = [
            text_features(split.prompts.texts) if recipe.features else None for split in (train, validation)
        ]
        fitted = None if features[0] is None else fit_features(features[0])
        base = self._bases.fit(train, features[0]) if recipe.base == "stack" else None
        logits = [np.zeros(split.scores.quality.shape, dtype=np.float32) for split in (train, validation)]
        if base is not None:
            # Of train prompts by estimates that did not see them: what is left to learn is what they get wrong.
            told = base.base.quality(validation.prompts, features[1])
            logits = [base_logits(base.left_out), base_logits(told)]
        rows = [
            as_rows(split, prompt_columns(cards, split.prompts, own, fitted), each, balanced, device)
            for split, own, each, balanced in (
                (train, features[0], logits[0], recipe.balance_model_samples),
                (validation, features[1], logits[1], False),
            )
        ]
        return _Prepared(recipe, models, cards, fitted, base, rows[0], rows[1], validation.scores.quality)


def _save(prepared: _Prepared, parameters: int, run: SeedRun, directory: str) -> TrainedRouter:
    recipe, base = prepared.recipe, prepared.validation.base.cpu().numpy()
    save_model_embeddings(
        directory, prepared.models, run.state["models"].numpy(), recipe.model_embeddings, run.seed
    )
    share = 1.0 if prepared.base is None else choose_share(base, run.logits, prepared.quality)
    scores = joined(base, run.logits, share)
    metrics = measure_scores(scores, prepared.quality)
    metrics["loss"] = float(np.nanmean(np.square(quality_of_score(scores) - prepared.quality)))
    temperature = 1.0
    if recipe.calibration == "temperature":
        temperature = Temperature.fit(scores, prepared.quality).temperature
    best_epoch = run.best_epoch if share else 0
    card = RouterCard(
        models=tuple(prepared.models),
        inputs=prepared.cards,
        features=recipe.features,
        score=recipe.score,
        hidden_dims=tuple(recipe.hidden_dims),
        model_dim=run.state["models"].shape[1],
        share=share,
        calibration=recipe.calibration,
        temperature=temperature,
        seed=run.seed,
        best_epoch=best_epoch,
        epochs=run.epochs,
        parameters=parameters,
        validation=metrics,
        base=None if prepared.base is None else prepared.base.base.describe(),
    )
    save_router(directory, card, _numbers(prepared, run, scores))
    return TrainedRouter(directory, run.seed, best_epoch, run.epochs, parameters, metrics)


def _numbers(prepared: _Prepared, run: SeedRun, scores: Floats) -> dict[str, NDArray[Any]]:
    """All arrays of a router; the calibration is fitted on its scores of validation."""
    numbers: dict[str, NDArray[Any]] = {f"network.{name}": value.numpy() for name, value in run.state.items()}
    if prepared.recipe.calibration == "isotonic":
        line = Isotonic.fit(scores, prepared.quality)
        numbers |= {"calibration.scores": line.scores, "calibration.success": line.success}
    if prepared.features is not None:
        numbers |= {
            "features.mean": prepared.features.mean,
            "features.deviation": prepared.features.deviation,
        }
    if prepared.base is not None:
        numbers |= {f"base.{name}": value for name, value in prepared.base.base.numbers().items()}
    return numbers


def among(answered: AnsweredPrompts, models: Sequence[str]) -> AnsweredPrompts:
    """Prompts with what is known of some models."""
    return AnsweredPrompts(
        answered.prompts, scores_among(answered.scores, models), battles_among(answered.battles, models)
    )


def check_training(
    recipe: RouterRecipe,
    seeds: Sequence[int],
    train: AnsweredPrompts,
    validation: AnsweredPrompts,
    directories: Sequence[str],
) -> None:
    """Refuse a recipe or data that no network can be trained by.

    Raises:
        UsageError: says what does not fit.
    """
    if not seeds or len(set(seeds)) < len(seeds) or len(seeds) != len(directories):
        raise UsageError(
            f"training: seeds {list(seeds)} for {len(directories)} directories; give each seed its own"
        )
    if list(train.scores.models) != list(validation.scores.models):
        raise UsageError("training: train and validation are of different models; read them alike")
    if not recipe.hidden_dims or not recipe.embedding_dims:
        raise UsageError("training: hidden_dims and embedding_dims need at least one width each")
    for split, answered in (("train", train), ("validation", validation)):
        texts, rows = len(answered.prompts.texts), len(answered.scores.quality)
        if texts != rows or not rows:
            raise UsageError(f"training: {split} has {texts} prompts and scores of {rows}; give both alike")
        if len(answered.battles.prompts) and answered.battles.prompts.max() >= rows:
            raise UsageError(
                f"training: {split} has battles over prompts that it lacks; give those of its own"
            )
        if np.isnan(answered.scores.quality).all():
            raise UsageError(f"training: {split} has no known quality; add answered prompts")

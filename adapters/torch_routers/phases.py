"""Networks as they start the second phase: drawn, over model embeddings that are trained, loaded or drawn too."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fusionapp.adapters.torch_routers.model_embeddings import (
    AttentiveModels,
    Contests,
    TripletModels,
    draw_learner,
    embed_models,
)
from fusionapp.adapters.torch_routers.network import RouterNetwork
from fusionapp.adapters.torch_routers.rows import Rows
from fusionapp.adapters.torch_routers.saved_models import load_model_embeddings
from fusionapp.adapters.torch_routers.stacked import stack
from fusionapp.adapters.torch_shared.streams import seed_stream, seed_streams
from fusionapp.application.ports.tracker import Tracker
from fusionapp.domain.errors import UsageError
from fusionapp.domain.routing.answers import FIRST, SECOND
from fusionapp.domain.routing.recipe import RouterRecipe


def draw_networks(
    recipe: RouterRecipe,
    models: Sequence[str],
    train: Rows,
    seeds: Sequence[int],
    tracker: Tracker,
    series: Sequence[str],
) -> RouterNetwork:
    """The networks of all seeds, a stack on the device of train, after the first phase.

    Args:
        recipe: of all.
        models: names, in the order of columns.
        train: what embeddings of models are learned from.
        seeds: each draws its own.
        tracker: is told of the first phase.
        series: under what names, one a seed.

    Raises:
        UsageError: embeddings to load that do not know a model, or no battle with a winner to learn them from.
    """
    device = train.prompts.device
    loaded: Tensor | None = None
    if recipe.load_embedding_model_from is not None:
        loaded = torch.from_numpy(load_model_embeddings(recipe.load_embedding_model_from, models))
    networks, learners = [], []
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        for seed in seeds:
            torch.manual_seed(int(seed_stream(seed, "weights").initial_seed() % 2**63))
            learner = _learner(recipe, train)
            embeddings = _drawn(recipe, len(models)) if loaded is None else loaded
            networks.append(_network(recipe, train.prompts.shape[1], embeddings))
            learners += [learner] if learner is not None else []
    network = stack(networks).to(device)
    if learners:
        network.models.data = _learn(stack(learners).to(device), recipe, train, seeds, tracker, series)
    return network


def _learner(recipe: RouterRecipe, train: Rows) -> TripletModels | AttentiveModels | None:
    """What learns one seed's embeddings; None where there is no first phase."""
    if recipe.load_embedding_model_from is not None or recipe.model_embeddings == "learned":
        return None
    dim, models = train.prompts.shape[1], train.quality.shape[1]
    return draw_learner(recipe.model_embeddings, dim, recipe.embedding_dims, models)


def _drawn(recipe: RouterRecipe, models: int) -> Tensor:
    """(models, dim) for the network to learn; zeros where the first phase fills them in."""
    if recipe.model_embeddings != "learned":
        return torch.zeros(models, recipe.embedding_dims[-1])
    return torch.nn.functional.normalize(torch.randn(models, recipe.embedding_dims[-1]), dim=-1)


def _network(recipe: RouterRecipe, prompt_dim: int, embeddings: Tensor) -> RouterNetwork:
    learned = recipe.model_embeddings == "learned" and recipe.load_embedding_model_from is None
    return RouterNetwork(
        recipe.score,
        prompt_dim,
        embeddings,
        recipe.hidden_dims,
        recipe.dropout,
        recipe.finetune_model_embeddings or learned,
    )


def _learn(
    learner: TripletModels | AttentiveModels,
    recipe: RouterRecipe,
    train: Rows,
    seeds: Sequence[int],
    tracker: Tracker,
    series: Sequence[str],
) -> Tensor:
    """The first phase: (seeds, models, dim)."""
    contests = _contests(train)
    if recipe.model_embeddings == "triplet" and not len(contests.prompts):
        raise UsageError(
            'training: no battle in train has a winner to learn from; set train.model_embeddings = "learned"'
        )
    embeddings, losses = embed_models(
        learner,
        train.prompts,
        train.quality - train.quality.nanmean(dim=0),
        contests,
        train.model_weights,
        recipe.embedding_model_epochs,
        recipe.embedding_learning_rate,
        seed_streams(seeds, "model embeddings"),
    )
    for epoch, of_seeds in enumerate(losses, 1):
        for name, loss in zip(series, of_seeds, strict=True):
            tracker.log(name, epoch, {"train_loss": loss})
    return embeddings


def _contests(rows: Rows) -> Contests:
    won = (rows.outcome == FIRST) | (rows.outcome == SECOND)
    first = rows.outcome[won] == FIRST
    one, two = rows.first[won], rows.second[won]
    return Contests(
        rows.battle_prompts[won],
        torch.where(first, one, two),
        torch.where(first, two, one),
        rows.battle_weights[won].double().cpu(),
    )

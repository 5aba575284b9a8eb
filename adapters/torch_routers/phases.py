"""Model embeddings as a recipe asks for them: trained, loaded, or drawn to be learned with the network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fusionapp.adapters.torch_routers.model_embeddings import Contests, embed_models
from fusionapp.adapters.torch_routers.rows import Rows
from fusionapp.adapters.torch_routers.saved_models import load_model_embeddings
from fusionapp.adapters.torch_shared.streams import seed_stream
from fusionapp.domain.errors import UsageError
from fusionapp.domain.routing.answers import FIRST, SECOND
from fusionapp.domain.routing.recipe import RouterRecipe


def first_phase(
    recipe: RouterRecipe, models: Sequence[str], train: Rows, seed: int
) -> tuple[Tensor, Sequence[float]]:
    """(models, dim) embeddings on the device of train, and the losses of the epochs that they took.

    Raises:
        UsageError: embeddings to load that do not know a model, or no battle with a winner to learn them from.
    """
    device = train.prompts.device
    if recipe.load_embedding_model_from is not None:
        loaded = load_model_embeddings(recipe.load_embedding_model_from, models)
        return torch.from_numpy(loaded).to(device), []
    if recipe.model_embeddings == "learned":
        drawn = torch.randn(len(models), recipe.embedding_dims[-1])
        return torch.nn.functional.normalize(drawn, dim=-1).to(device), []
    contests = _contests(train)
    if recipe.model_embeddings == "triplet" and not len(contests.prompts):
        raise UsageError(
            'training: no battle in train has a winner to learn from; set train.model_embeddings = "learned"'
        )
    centred = train.quality - train.quality.nanmean(dim=0)
    return embed_models(
        recipe.model_embeddings,
        train.prompts,
        centred,
        contests,
        train.model_weights,
        recipe.embedding_dims,
        recipe.embedding_model_epochs,
        recipe.embedding_learning_rate,
        seed_stream(seed, "model embeddings"),
    )


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

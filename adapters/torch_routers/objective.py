"""The losses of a recipe over logits of every model."""

from __future__ import annotations

import torch
from torch import Tensor

from fusionapp.adapters.torch_routers.rows import Rows
from fusionapp.domain.routing.losses import (
    bradley_terry,
    log_threshold,
    margin_ranking,
    rao_kupper,
    regression,
)
from fusionapp.domain.routing.mapping import score_of_logit
from fusionapp.domain.routing.recipe import RouterRecipe


def is_pairwise(recipe: RouterRecipe) -> bool:
    """Whether a batch is of battles; else it is of prompts."""
    return recipe.loss != "regression"


def answers_loss(logits: Tensor, quality: Tensor, model_weights: Tensor) -> Tensor:
    """`regression` of logits (seeds, batch, models) against qualities (..., batch, models): (seeds,)."""
    return regression(score_of_logit(logits), quality, model_weights)


def battles_loss(
    recipe: RouterRecipe,
    logits: Tensor,
    at: Tensor,
    rows: Rows,
    battles: Tensor,
    free_threshold: Tensor,
    weights: Tensor | None = None,
) -> Tensor:
    """The recipe's loss of some battles of each seed.

    Args:
        recipe: which loss.
        logits: (seeds, prompts, models).
        at: (battles,) or (seeds, battles): the row of logits that is each battle's prompt.
        rows: whose battles they are.
        battles: shaped as `at`: which.
        free_threshold: (seeds,) of Rao and Kupper.
        weights: (battles,) of each; None weighs all alike, as where they were drawn by weight.

    Returns:
        (seeds,).
    """
    shown = score_of_logit(logits) if recipe.loss == "margin" else logits
    seeds, _, models = shown.shape
    cells, places = shown.flatten(1), (at * models).expand(seeds, -1)
    first, second = (cells.gather(1, places + side[battles]) for side in (rows.first, rows.second))
    outcome = rows.outcome[battles]
    average = shown.detach().mean(-1).gather(1, at.expand(seeds, -1))
    if recipe.loss == "margin":
        return margin_ranking(first, second, outcome, recipe.margin, weights, recipe.both_bad, average)
    if recipe.loss == "bradley_terry":
        return bradley_terry(first, second, outcome, weights, recipe.both_bad, average)
    threshold = log_threshold(free_threshold)[:, None]
    return rao_kupper(first, second, outcome, threshold, weights, recipe.both_bad, average)


@torch.no_grad()
def whole_loss(recipe: RouterRecipe, logits: Tensor, rows: Rows, free_threshold: Tensor) -> list[float]:
    """Each seed's loss of a whole split, with every answer or battle weighing the same."""
    if not is_pairwise(recipe):
        found = answers_loss(logits, rows.quality, torch.ones_like(rows.model_weights))
    elif len(rows.outcome):
        everything = torch.arange(len(rows.outcome), device=logits.device)
        found = battles_loss(recipe, logits, rows.battle_prompts, rows, everything, free_threshold)
    else:
        found = logits.new_zeros(len(logits))
    return [float(loss) for loss in found]

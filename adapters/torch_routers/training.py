"""The second phase: a network trained on top of a base, one seed at a time."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fusionapp.adapters.torch_routers.network import RouterNetwork
from fusionapp.adapters.torch_routers.objective import (
    answers_loss,
    battles_loss,
    is_pairwise,
    whole_loss,
)
from fusionapp.adapters.torch_routers.rows import Rows
from fusionapp.application.ports.progress import ProgressTask
from fusionapp.application.ports.tracker import Tracker
from fusionapp.domain.errors import UsageError
from fusionapp.domain.routing.mapping import score_of_logit
from fusionapp.domain.routing.metrics import chosen_quality, pairwise_agreement
from fusionapp.domain.routing.recipe import RouterRecipe

Floats = NDArray[np.float32]
_PROMPTS_AT_ONCE = 2048


@attrs.define(eq=False)
class SeedRun:
    """How far a seed has come.

    Attributes:
        seed: which.
        epochs: epochs run.
        best_epoch: the epoch whose weights are kept, from 1.
        best: its quality of chosen answers on validation, and its loss with the sign turned.
        state: its weights, on the CPU.
        logits: (prompts, models) float32 of validation by the network alone.
    """

    seed: int
    epochs: int = 0
    best_epoch: int = 0
    best: tuple[float, float] = (float("-inf"), float("-inf"))
    state: Mapping[str, Tensor] = attrs.field(factory=dict)
    logits: Floats = attrs.field(factory=lambda: np.empty((0, 0), dtype=np.float32))


def train_network(
    network: RouterNetwork,
    recipe: RouterRecipe,
    seed: int,
    train: Rows,
    validation: Rows,
    order: torch.Generator,
    tracker: Tracker,
    task: ProgressTask,
) -> SeedRun:
    """Train until the quality of chosen answers on validation has not risen for `recipe.patience` epochs.

    Raises:
        UsageError: a loss that is not finite.
    """
    run = SeedRun(seed)
    optimizers = make_optimizers(network, recipe)
    for epoch in range(1, recipe.epochs + 1):
        _epoch(network, recipe, train, order, optimizers)
        run.epochs = epoch
        logits = score_all(network, validation.prompts)
        metrics = measure_split(network, recipe, "train", score_all(network, train.prompts), train)
        metrics |= measure_split(network, recipe, "validation", logits, validation)
        if not all(isfinite(metrics[f"{split}_loss"]) for split in ("train", "validation")):
            raise UsageError(
                f"training: the loss of seed {seed} is not finite after epoch {epoch}; lower "
                f"train.learning_rate (now {recipe.learning_rate:g})"
            )
        tracker.log(f"seed-{seed}", epoch, metrics)
        task.advance(1, validation_quality=metrics["validation_quality"])
        judged = (metrics["validation_quality"], -metrics["validation_loss"])
        if judged > run.best:
            run.best, run.best_epoch = judged, epoch
            run.state = {name: value.to("cpu", copy=True) for name, value in network.state_dict().items()}
            run.logits = logits.cpu().numpy()
        if epoch - run.best_epoch >= recipe.patience:
            task.advance(recipe.epochs - epoch)
            break
    return run


def make_optimizers(network: RouterNetwork, recipe: RouterRecipe) -> list[torch.optim.Optimizer]:
    """The recipe's optimiser; biases, thresholds and embeddings of models do not decay.

    Muon steps the hidden layers' matrices; the last layer and all else stay with AdamW, as its authors advise.
    """
    matrices = [module.weight for module in network.modules() if isinstance(module, nn.Linear)]
    known = set(map(id, matrices))
    others = [p for p in network.parameters() if p.requires_grad and id(p) not in known]
    rate, decay = recipe.learning_rate, recipe.weight_decay
    found: list[torch.optim.Optimizer] = []
    if recipe.optimizer == "muon":
        hidden = [weight for weight in matrices if weight is not network.last.weight]
        found.append(torch.optim.Muon(hidden, lr=rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw"))
        matrices = [network.last.weight]
    adam = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
    groups = [{"params": matrices, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
    found.append(adam(groups, lr=rate))
    return found


@torch.no_grad()
def score_all(network: RouterNetwork, prompts: Tensor) -> Tensor:
    """The network's own logits (prompts, models), without dropout."""
    network.eval()
    return torch.cat([network(some) for some in torch.split(prompts, _PROMPTS_AT_ONCE)])


def measure_scores(scores: Floats, quality: NDArray[np.floating]) -> dict[str, float]:
    """``quality`` of the chosen answers that are known, and ``pairwise_accuracy`` without ties."""
    chosen = chosen_quality(quality, scores.argmax(axis=1))
    known = chosen[~np.isnan(chosen)]
    accuracy = pairwise_agreement(scores, quality).value
    return {
        "quality": float(known.mean()) if len(known) else 0.0,
        "pairwise_accuracy": accuracy if isfinite(accuracy) else 0.5,
    }


def _epoch(
    network: RouterNetwork,
    recipe: RouterRecipe,
    train: Rows,
    order: torch.Generator,
    optimizers: list[torch.optim.Optimizer],
) -> None:
    network.train()
    for batch in torch.split(_drawn(recipe, train, order), recipe.batch_size):
        if is_pairwise(recipe):
            prompts = train.battle_prompts[batch]
            logits = train.base[prompts] + network(train.prompts[prompts])
            loss = battles_loss(recipe, logits, train, batch, network.free_threshold)
        else:
            logits = train.base[batch] + network(train.prompts[batch])
            loss = answers_loss(logits, train.quality[batch], train.model_weights)
        torch.autograd.backward(loss)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()


def _drawn(recipe: RouterRecipe, train: Rows, order: torch.Generator) -> Tensor:
    """The epoch's battles, the more often the more they weigh, or its prompts."""
    device = train.prompts.device
    if not is_pairwise(recipe):
        return torch.randperm(len(train.prompts), generator=order).to(device)
    if not recipe.balance_model_samples:
        return torch.randperm(len(train.outcome), generator=order).to(device)
    weights = train.battle_weights.cpu()
    return torch.multinomial(weights, len(weights), replacement=True, generator=order).to(device)


def measure_split(
    network: RouterNetwork, recipe: RouterRecipe, split: str, logits: Tensor, rows: Rows
) -> dict[str, float]:
    """Metrics of a whole split, each named after it (``validation_loss``), by the network's own logits."""
    whole = logits + rows.base
    scores = score_of_logit(whole).cpu().numpy()
    metrics = measure_scores(scores, rows.quality.cpu().numpy())
    metrics["loss"] = whole_loss(recipe, whole, rows, network.free_threshold.detach())
    return {f"{split}_{name}": value for name, value in metrics.items()}

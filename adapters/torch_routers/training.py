"""The second phase: the networks of all seeds, trained at once on top of a base."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusionapp.adapters.torch_routers.network import RouterNetwork
from fusionapp.adapters.torch_routers.objective import (
    answers_loss,
    battles_loss,
    is_pairwise,
    whole_loss,
)
from fusionapp.adapters.torch_routers.rows import Rows, take
from fusionapp.adapters.torch_routers.stacked import StackedLinear, keep, set_dropout, state_of
from fusionapp.adapters.torch_shared.muon import StackedMuon
from fusionapp.adapters.torch_shared.streams import seed_streams
from fusionapp.application.ports.progress import ProgressTask
from fusionapp.application.ports.tracker import Tracker
from fusionapp.domain.errors import UsageError
from fusionapp.domain.routing.mapping import score_of_logit
from fusionapp.domain.routing.metrics import chosen_quality, pairwise_agreement
from fusionapp.domain.routing.recipe import RouterRecipe

Floats = NDArray[np.float32]
_PROMPTS_AT_ONCE = 1024
"""256 take half as long again; with more, memory grows with the models."""


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


class StackTraining:
    """Trains a stack of networks, dropping each seed from it when it stops."""

    def __init__(
        self,
        network: RouterNetwork,
        recipe: RouterRecipe,
        seeds: Sequence[int],
        train: Rows,
        validation: Rows,
    ) -> None:
        """Set up.

        Args:
            network: of as many seeds, as they start; in the end only the last to stop are left in it.
            recipe: of all.
            seeds: whose orders and dropout are used.
            train: rows to learn from.
            validation: rows to choose by.
        """
        self._network, self._recipe = network, recipe
        self._train, self._validation = train, validation
        self._optimizers = make_optimizers(network, recipe)
        self._orders = seed_streams(seeds, "order")
        set_dropout(network, seed_streams(seeds, "dropout", train.prompts.device))
        self._active = [SeedRun(seed) for seed in seeds]
        self._all = tuple(self._active)

    def __call__(self, tracker: Tracker, task: ProgressTask) -> Sequence[SeedRun]:
        """Train until no seed's chosen answers on validation have got better for `recipe.patience` epochs.

        Returns:
            One run per seed, in order.

        Raises:
            UsageError: a loss that is not finite.
        """
        for epoch in range(1, self._recipe.epochs + 1):
            self._epoch()
            logits = score_all(self._network, self._validation.prompts)
            metrics = self._measure(logits, epoch)
            for position, (run, told) in enumerate(zip(self._active, metrics, strict=True)):
                tracker.log(f"seed-{run.seed}", epoch, told)
                self._judge(run, position, epoch, told, logits)
            quality = float(np.mean([told["validation_quality"] for told in metrics]))
            task.advance(len(self._active), validation_quality=quality)
            self._drop_stopped(task)
            if not self._active:
                break
        return self._all

    def _epoch(self) -> None:
        """One pass of every active seed over train, each in its own order."""
        self._network.train()
        orders = torch.stack([_drawn(self._recipe, self._train, order) for order in self._orders])
        for batch in torch.split(orders.to(self._train.prompts.device), self._recipe.batch_size, dim=1):
            torch.autograd.backward(self._loss(batch).sum())
            for optimizer in self._optimizers:
                optimizer.step()
                optimizer.zero_grad()

    def _loss(self, batch: Tensor) -> Tensor:
        """Each seed's loss of its battles or prompts (seeds, batch)."""
        train, recipe = self._train, self._recipe
        prompts = train.battle_prompts[batch] if is_pairwise(recipe) else batch
        logits = train.base[prompts] + self._network(take(train.prompts, prompts))
        if not is_pairwise(recipe):
            return answers_loss(logits, train.quality[prompts], train.model_weights)
        at = torch.arange(batch.shape[1], device=batch.device)
        return battles_loss(recipe, logits, at, train, batch, self._network.free_threshold)

    def _measure(self, logits: Tensor, epoch: int) -> list[dict[str, float]]:
        network, recipe, train = self._network, self._recipe, self._train
        on_train = measure_split(network, recipe, "train", score_all(network, train.prompts), train)
        on_validation = measure_split(network, recipe, "validation", logits, self._validation)
        metrics = [first | second for first, second in zip(on_train, on_validation, strict=True)]
        for run, told in zip(self._active, metrics, strict=True):
            if not all(isfinite(told[f"{split}_loss"]) for split in ("train", "validation")):
                raise UsageError(
                    f"training: the loss of seed {run.seed} is not finite after epoch {epoch}; lower "
                    f"train.learning_rate (now {recipe.learning_rate:g})"
                )
        return metrics

    def _judge(
        self, run: SeedRun, position: int, epoch: int, metrics: Mapping[str, float], logits: Tensor
    ) -> None:
        run.epochs = epoch
        judged = (metrics["validation_quality"], -metrics["validation_loss"])
        if judged > run.best:
            run.best, run.best_epoch = judged, epoch
            run.state = state_of(self._network, position)
            run.logits = logits[position].cpu().numpy()

    def _drop_stopped(self, task: ProgressTask) -> None:
        """A stopped seed leaves the stack: it changes no more and costs nothing."""
        patience, epochs = self._recipe.patience, self._recipe.epochs
        going = [i for i, run in enumerate(self._active) if run.epochs - run.best_epoch < patience]
        stopped = len(self._active) - len(going)
        if not stopped:
            return
        task.advance(stopped * (epochs - self._active[0].epochs))
        if going:
            keep(self._network, self._optimizers, going)
        self._active = [self._active[position] for position in going]
        self._orders = [self._orders[position] for position in going]


def make_optimizers(network: RouterNetwork, recipe: RouterRecipe) -> list[torch.optim.Optimizer]:
    """The recipe's optimiser; biases, thresholds and embeddings of models do not decay.

    Muon steps the hidden layers' matrices; the last layer and all else stay with AdamW, as its authors advise.
    """
    matrices = [module.weight for module in network.modules() if isinstance(module, StackedLinear)]
    known = set(map(id, matrices))
    others = [p for p in network.parameters() if p.requires_grad and id(p) not in known]
    rate, decay = recipe.learning_rate, recipe.weight_decay
    found: list[torch.optim.Optimizer] = []
    if recipe.optimizer == "muon":
        found.append(StackedMuon([w for w in matrices if w is not network.last.weight], rate, decay))
        matrices = [network.last.weight]
    adam = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
    groups = [{"params": matrices, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
    found.append(adam(groups, lr=rate, fused=True))
    return found


@torch.no_grad()
def score_all(network: RouterNetwork, prompts: Tensor) -> Tensor:
    """The networks' own logits (seeds, prompts, models), without dropout."""
    network.eval()
    return torch.cat([network(some) for some in torch.split(prompts, _PROMPTS_AT_ONCE)], dim=1)


def measure_scores(scores: Floats, quality: NDArray[np.floating]) -> dict[str, float]:
    """``quality`` of the chosen answers that are known, and ``pairwise_accuracy`` without ties."""
    chosen = chosen_quality(quality, scores.argmax(axis=1))
    known = chosen[~np.isnan(chosen)]
    accuracy = pairwise_agreement(scores, quality).value
    return {
        "quality": float(known.mean()) if len(known) else 0.0,
        "pairwise_accuracy": accuracy if isfinite(accuracy) else 0.5,
    }


def _drawn(recipe: RouterRecipe, train: Rows, order: torch.Generator) -> Tensor:
    """A seed's battles of an epoch, the more often the more they weigh, or its prompts; on the CPU."""
    if not is_pairwise(recipe):
        return torch.randperm(len(train.prompts), generator=order)
    if not recipe.balance_model_samples:
        return torch.randperm(len(train.outcome), generator=order)
    weights = train.battle_weights.cpu()
    return torch.multinomial(weights, len(weights), replacement=True, generator=order)


def measure_split(
    network: RouterNetwork, recipe: RouterRecipe, split: str, logits: Tensor, rows: Rows
) -> list[dict[str, float]]:
    """Each seed's metrics of a whole split, named after it (``validation_loss``), by its network's own logits."""
    whole = logits + rows.base
    quality = rows.quality.cpu().numpy()
    losses = whole_loss(recipe, whole, rows, network.free_threshold)
    found = []
    for scores, loss in zip(score_of_logit(whole).cpu().numpy(), losses, strict=True):
        metrics = measure_scores(scores, quality) | {"loss": loss}
        found.append({f"{split}_{name}": value for name, value in metrics.items()})
    return found

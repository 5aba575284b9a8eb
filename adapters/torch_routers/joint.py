"""An encoder and a network over it, trained together on prompts with all of their models."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, isfinite

import attrs
import numpy as np
import torch
from torch import Tensor

from fusionapp.adapters.torch_routers.network import RouterNetwork
from fusionapp.adapters.torch_routers.objective import answers_loss, battles_loss, is_pairwise
from fusionapp.adapters.torch_routers.rows import Rows
from fusionapp.adapters.torch_routers.stacked import set_dropout
from fusionapp.adapters.torch_routers.training import make_optimizers, measure_split, score_all
from fusionapp.adapters.torch_shared.streams import seed_stream
from fusionapp.adapters.torch_shared.tunable import TunableEncoder
from fusionapp.application.ports.progress import ProgressTask
from fusionapp.application.ports.tracker import Tracker
from fusionapp.domain.errors import UsageError
from fusionapp.domain.normalization import l2_normalize
from fusionapp.domain.routing.recipe import RouterRecipe
from fusionapp.domain.schedules import rate_factor

SERIES = "encoder"
"""What the tracker is told of tuning under."""


@attrs.define(eq=False)
class _Best:
    step: int = 0
    judged: tuple[float, float] = (float("-inf"), float("-inf"))
    metrics: Mapping[str, float] = attrs.field(factory=dict)
    encoder: Mapping[str, Tensor] = attrs.field(factory=dict)


class JointRouting:
    """Tunes an encoder under a network that was trained over its untuned embeddings.

    Attributes:
        steps: at the most.
        step: run so far.
        untuned: metrics on validation before the first step.
    """

    def __init__(
        self,
        network: RouterNetwork,
        recipe: RouterRecipe,
        encoder: TunableEncoder,
        train: Rows,
        validation: Rows,
        width: int,
        seed: int,
    ) -> None:
        """Set up.

        Args:
            network: as it starts, a stack of one.
            recipe: of both.
            encoder: that has read the texts of "train" and "validation".
            train: rows to learn from; of their columns, those after the first `width` are looked at.
            validation: likewise rows to choose by.
            width: columns of the encoder's embedding.
            seed: of the order of prompts and of the network's dropout.
        """
        self._network, self._recipe, self._encoder = network, recipe, encoder
        self._train, self._validation, self._width = train, validation, width
        self._tuning = recipe.encoder_tuning()
        self._optimizers = make_optimizers(network, recipe)
        self._order = seed_stream(seed, "order")
        set_dropout(network, [seed_stream(seed, "dropout", train.prompts.device)])
        self._best = _Best()
        self._epoch_steps = ceil(len(train.prompts) / self._tuning.batch_size)
        self.steps = self._epoch_steps * self._tuning.epochs
        self.step = 0
        self.untuned: Mapping[str, float] = {}

    @property
    def best_step(self) -> int:
        """The step whose encoder is kept; 0 is the untuned one."""
        return self._best.step

    @property
    def validation(self) -> Mapping[str, float]:
        """Metrics at that step."""
        return self._best.metrics

    def __call__(self, tracker: Tracker, task: ProgressTask) -> None:
        """Run to the end or until nothing improves; the encoder is left at the best point.

        Raises:
            UsageError: a loss that is not finite.
        """
        parts = self._tuning.evaluations
        scored = {ceil(self._epoch_steps * part / parts) for part in range(1, parts + 1)}
        self._judge(tracker, float("nan"))
        self.untuned = self._best.metrics
        waited = 0
        while self.step < self.steps and waited < self._tuning.patience:
            losses = []
            order = torch.randperm(len(self._train.prompts), generator=self._order)
            for place, prompts in enumerate(torch.split(order, self._tuning.batch_size), 1):
                losses.append(self._take_step(prompts))
                task.advance(1)
                if place not in scored:
                    continue
                waited = 0 if self._judge(tracker, float(np.mean(losses))) else waited + 1
                losses = []
                if waited >= self._tuning.patience:
                    break
        task.advance(self.steps - self.step)
        self._encoder.load(self._best.encoder)

    def _take_step(self, prompts: Tensor) -> float:
        self._network.train()

        def loss(found: Tensor) -> tuple[Tensor, Tensor]:
            leaf = found.detach().requires_grad_()
            value = self._loss(prompts.to(leaf.device), leaf)
            torch.autograd.backward(value)
            assert leaf.grad is not None
            return value.detach(), leaf.grad

        value = float(self._encoder.backward("train", prompts.numpy(), loss))
        if not isfinite(value):
            raise UsageError(
                f"training: the loss became {value} at step {self.step + 1} of tuning; lower "
                "train.tuning.learning_rate or train.tuning.head_rate"
            )
        tuning, recipe = self._tuning, self._recipe
        factor = rate_factor(tuning.schedule, tuning.warmup, self.step, self.steps)
        self._encoder.step(recipe.finetuning.step_size(tuning.learning_rate) * factor)
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate * tuning.head_rate * factor
            optimizer.step()
            optimizer.zero_grad()
        self.step += 1
        return value

    def _loss(self, prompts: Tensor, views: Tensor) -> Tensor:
        """The recipe's loss of some prompts: of all their answers, or of all their battles."""
        rows, recipe = self._train, self._recipe
        logits: Tensor = self._network(self._columns(views, rows.prompts[prompts]))
        if not is_pairwise(recipe):
            return answers_loss(logits, rows.quality[prompts], rows.model_weights)[0]
        place = torch.full((len(rows.prompts),), -1, device=prompts.device)
        place[prompts] = torch.arange(len(prompts), device=prompts.device)
        at = place[rows.battle_prompts]
        battles = torch.nonzero(at >= 0)[:, 0]
        if not len(battles):
            return logits.sum() * 0.0
        threshold, weights = self._network.free_threshold, rows.battle_weights[battles]
        return battles_loss(recipe, logits, at[battles], rows, battles, threshold, weights)[0]

    def _columns(self, views: Tensor, stored: Tensor) -> Tensor:
        """What `prompt_columns` makes of embeddings, of (prompts, layers, dim) with gradients."""
        units: Tensor = l2_normalize(views) * views.shape[-1] ** 0.5
        return torch.cat([units.flatten(1).to(stored.device), stored[:, self._width :]], dim=1)

    @torch.no_grad()
    def _judge(self, tracker: Tracker, loss: float) -> bool:
        """Score validation and keep the encoder if it is the best; whether it is."""
        rows = self._validation
        columns = self._columns(self._encoder.embed("validation"), rows.prompts)
        logits = score_all(self._network, columns)
        (metrics,) = measure_split(self._network, self._recipe, "validation", logits, rows)
        tracker.log(SERIES, self.step, metrics | ({"train_loss": loss} if isfinite(loss) else {}))
        judged = (metrics["validation_quality"], -metrics["validation_loss"])
        if not judged > self._best.judged:
            return False
        named = {name.removeprefix("validation_"): value for name, value in metrics.items()}
        self._best = _Best(self.step, judged, named, self._encoder.state())
        return True

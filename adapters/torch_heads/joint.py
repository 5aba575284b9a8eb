"""Heads of all seeds and the encoders that they share, trained by one loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, isfinite

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusionapp.adapters.torch_heads.head import FusionHead
from fusionapp.adapters.torch_heads.optimization import HeadOptimizer
from fusionapp.adapters.torch_heads.sources import DenseRows, Source
from fusionapp.adapters.torch_heads.sparse import SparseRows
from fusionapp.adapters.torch_heads.training import PreparedSplit, SeedRun, measure, validate, worth
from fusionapp.adapters.torch_shared.streams import seed_stream
from fusionapp.adapters.torch_shared.tunable import TunableEncoder
from fusionapp.application.ports.progress import ProgressTask
from fusionapp.application.ports.tracker import Tracker
from fusionapp.domain.errors import UsageError
from fusionapp.domain.losses import balanced_class_weights, cross_entropy
from fusionapp.domain.recipe import TrainingRecipe
from fusionapp.domain.schedules import rate_factor


@attrs.define(eq=False)
class _Best:
    """The best point so far: its step, its worth, and every weight."""

    step: int = 0
    score: tuple[float, float] = (float("-inf"), float("-inf"))
    encoders: Mapping[str, Mapping[str, Tensor]] = attrs.field(factory=dict)


class JointTraining:
    """Tunes shared encoders under a stack of heads.

    Every seed sees the same rows in a step, since one pass of an encoder serves all of them; dropout in the heads
    is their own. An encoder steps by the mean of the seeds' gradients. One point is kept for all, the best by the
    mean score of the seeds, as heads of different points would want different encoders.
    """

    def __init__(
        self,
        head: FusionHead,
        recipe: TrainingRecipe,
        seeds: Sequence[int],
        sources: Sequence[Source],
        encoders: Mapping[str, TunableEncoder],
        train: PreparedSplit,
        validation: PreparedSplit,
        classes: int,
        seed: int,
        dtype: torch.dtype,
    ) -> None:
        """Set up.

        Args:
            head: of all seeds, as they start.
            recipe: of heads and tuning.
            seeds: of the heads.
            sources: of the heads, in order.
            encoders: those that are tuned, by source.
            train: rows to learn from; a tuned source's embeddings there are not looked at.
            validation: likewise rows to choose by.
            classes: how many.
            seed: of the order of rows.
            dtype: what the heads' matrices are multiplied in.
        """
        self._head, self._recipe, self._tuning = head, recipe, recipe.tuning
        self._sources, self._encoders = tuple(sources), dict(encoders)
        self._train, self._validation = train, validation
        rows = len(train.labels)
        self.epoch_steps = ceil(rows / self._tuning.batch_size)
        self.steps = self.epoch_steps * self._tuning.epochs
        schedule = attrs.evolve(recipe, schedule=self._tuning.schedule, warmup=self._tuning.warmup)
        self._optimizer = HeadOptimizer(head, schedule, self.steps, dtype, self._tuning.head_rate)
        self._order = seed_stream(seed, "order")
        self._weights: Tensor | None = None
        if recipe.class_weights == "balanced":
            weights = balanced_class_weights(train.labels.cpu().numpy(), classes)
            self._weights = torch.from_numpy(weights).to(train.labels.device)
        self._runs = [SeedRun(one) for one in seeds]
        self._best = _Best()
        self.step = 0

    @property
    def best_step(self) -> int:
        """The step whose weights are kept; 0 is the start."""
        return self._best.step

    def __call__(self, tracker: Tracker, task: ProgressTask) -> Sequence[SeedRun]:
        """Run to the end or until nothing improves; encoders are left at the best point.

        Raises:
            UsageError: a loss that is not finite.
        """
        evaluations = self._tuning.evaluations
        scored = {ceil(self.epoch_steps * part / evaluations) for part in range(1, evaluations + 1)}
        waited = 0
        self._judge(tracker, float("nan"))
        while self.step < self.steps and waited < self._tuning.patience:
            losses = []
            order = torch.randperm(len(self._train.labels), generator=self._order)
            for place, rows in enumerate(torch.split(order, self._tuning.batch_size), 1):
                losses.append(self._step(rows))
                task.advance(1)
                if place in scored:
                    waited = 0 if self._judge(tracker, float(np.mean(losses))) else waited + 1
                    losses = []
                    if waited >= self._tuning.patience:
                        break
        for name, state in self._best.encoders.items():
            self._encoders[name].load(state)
        for run in self._runs:
            run.epochs = ceil(self.step / self.epoch_steps)
        return self._runs

    def _step(self, rows: Tensor) -> float:
        self._head.train()
        loss = float(self._backward(rows, tuple(self._encoders), {}))
        if not isfinite(loss):
            raise UsageError(
                f"training: the loss became {loss} at step {self.step + 1} of tuning; lower "
                "train.tuning.learning_rate or train.tuning.head_rate"
            )
        factor = rate_factor(self._tuning.schedule, self._tuning.warmup, self.step, self.steps)
        rate = self._recipe.finetuning.step_size(self._tuning.learning_rate)
        for encoder in self._encoders.values():
            encoder.step(rate * factor)
        self._optimizer.step()
        self.step += 1
        return loss

    def _backward(self, rows: Tensor, names: tuple[str, ...], views: Mapping[str, Tensor]) -> Tensor:
        """One batch's gradients: embeddings of one encoder after the other, then the heads, and back again."""
        if not names:
            return self._backward_heads(rows, views)

        def loss(found: Tensor) -> tuple[Tensor, Tensor]:
            leaf = found.detach().requires_grad_()
            value = self._backward(rows, names[1:], {**views, names[0]: leaf})
            assert leaf.grad is not None
            # Every seed's loss is differentiated whole for its head; the encoder takes their mean.
            return value, leaf.grad / len(self._runs)

        return self._encoders[names[0]].backward("train", rows.numpy(), loss)

    def _backward_heads(self, rows: Tensor, views: Mapping[str, Tensor]) -> Tensor:
        labels = self._train.labels
        placed = rows.to(labels.device)
        stacked = placed.expand(len(self._runs), -1)
        alone: Tensor = self._head(self._batch(stacked, views))
        loss = self._loss(alone, labels[placed])
        if self._train.linear is not None:
            # As in `StackTraining`: half of the loss is the network's alone.
            beside = self._head.beside(alone, self._train.linear[stacked])
            loss = (loss + self._loss(beside, labels[placed])) / 2
        torch.autograd.backward(loss.sum())
        return loss.detach().mean()

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(logits, labels, self._weights, self._recipe.label_smoothing)

    def _batch(self, stacked: Tensor, views: Mapping[str, Tensor]) -> list[Tensor | SparseRows]:
        return [
            source.prepare_views(views[source.card.name]).expand(len(stacked), -1, -1, -1)
            if source.card.name in views
            else prepared.take(stacked)
            for source, prepared in zip(self._sources, self._train.sources, strict=True)
        ]

    @torch.no_grad()
    def _judge(self, tracker: Tracker, loss: float) -> bool:
        """Score validation and keep the point if it is the best; whether it is."""
        split = attrs.evolve(
            self._validation,
            sources=[
                DenseRows(source.prepare_views(self._encoders[source.card.name].embed("validation")))
                if source.card.name in self._encoders
                else prepared
                for source, prepared in zip(self._sources, self._validation.sources, strict=True)
            ],
        )
        logits = validate(self._head, split, len(self._runs))
        scores = measure(logits, split.labels)
        for run, score in zip(self._runs, scores, strict=True):
            judged = {f"validation_{name}": value for name, value in score.items()}
            trained = {"train_loss": loss} if isfinite(loss) else {}
            tracker.log(f"seed-{run.seed}", self.step, {**trained, **judged})
        mean = (
            float(np.mean([worth(score, self._recipe.metric) for score in scores])),
            -float(np.mean([score["loss"] for score in scores])),
        )
        if not mean > self._best.score:
            return False
        self._best = _Best(self.step, mean, {name: one.state() for name, one in self._encoders.items()})
        self._keep(logits, scores)
        return True

    def _keep(self, logits: Tensor, scores: Sequence[Mapping[str, float]]) -> None:
        state = self._head.state_dict()
        kept: NDArray[np.float32] = logits.cpu().numpy()
        for position, (run, score) in enumerate(zip(self._runs, scores, strict=True)):
            run.best_epoch = ceil(self.step / self.epoch_steps)
            run.validation, run.logits = score, kept[position]
            run.state = {name: tensor[position].to("cpu", copy=True) for name, tensor in state.items()}

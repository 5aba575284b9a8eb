"""The training loop: steps, scorings, checkpoints."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from itertools import islice
from time import perf_counter
from typing import Any

import attrs
import torch
from torch import Tensor

from fusionapp.adapters.huggingface.tuning.checkpoints import Checkpoints
from fusionapp.adapters.huggingface.tuning.distributed import Crew
from fusionapp.adapters.huggingface.tuning.drawing import Draw, draw_pools
from fusionapp.adapters.huggingface.tuning.gradcache import RandomState
from fusionapp.adapters.huggingface.tuning.objective import Objective, false_negatives
from fusionapp.adapters.huggingface.tuning.optimizers import EncoderOptimizer
from fusionapp.adapters.huggingface.tuning.plan import StepPlan
from fusionapp.adapters.huggingface.tuning.pool_embeddings import TokenizedPairs
from fusionapp.adapters.huggingface.tuning.scoring import Scoring
from fusionapp.adapters.huggingface.tuning.standing import Standing
from fusionapp.adapters.huggingface.tuning.steps import Stepper, StepResult
from fusionapp.adapters.huggingface.tuning.trainable import TrainableEncoder
from fusionapp.application.ports.progress import Progress, ProgressTask
from fusionapp.application.ports.tracker import Tracker
from fusionapp.domain.errors import CorruptArtifactError, UsageError
from fusionapp.domain.retrieval.recipe import TuningRecipe
from fusionapp.domain.schedules import rate_factor

logger = logging.getLogger(__name__)


@attrs.frozen(eq=False)
class TrainingLoop:
    """Everything that a run is made of.

    Attributes:
        encoder: what is trained.
        recipe: how.
        seed: of the drawing; dropout's random numbers were seeded by whoever made the loop.
        plan: how many steps.
        rate: the full step size.
        train: what is trained on.
        objective: the loss.
        optimizer: steps the weights.
        stepper: takes steps.
        scoring: says how good the encoder is.
        checkpoints: where a killed run goes on from.
        crew: the processes.
        tracker: takes numbers.
        progress: opens a bar.
    """

    encoder: TrainableEncoder
    recipe: TuningRecipe
    seed: int
    plan: StepPlan
    rate: float
    train: TokenizedPairs
    objective: Objective
    optimizer: EncoderOptimizer
    stepper: Stepper
    scoring: Scoring
    checkpoints: Checkpoints
    crew: Crew
    tracker: Tracker
    progress: Progress

    def run(self) -> Standing:
        """Train from the last checkpoint, or the beginning, to the end, and put the best weights in place.

        Raises:
            UsageError: the loss is no number any more; the best weights so far stay among the checkpoints.
            ResourceError: the disk is full.
            CorruptArtifactError: a checkpoint was changed.
        """
        standing = self._resume()
        if not standing.best:
            self._score(standing)
            self._checkpoint(standing)
        known = false_negatives(self.recipe, self.train.pairs)
        pairs = self.plan.pools * self.recipe.negatives_pool
        total, done = self.plan.steps * pairs, standing.step * pairs
        draws = islice(draw_pools(self.recipe, self.plan, self.train.pairs, self.seed), standing.step, None)
        with self.progress.task("train", total, "pairs", done) as bar:
            while not standing.stopped and standing.step < self.plan.steps:
                start = perf_counter()
                draw = next(draws)
                rate = self.rate * rate_factor(
                    self.recipe.schedule, self.recipe.warmup, standing.step, self.plan.steps
                )
                result = self.stepper.step(self.train, known, draw.pools, rate)
                if not result.finite:
                    raise self._lost(standing, result)
                standing.step += 1
                seconds = perf_counter() - start
                standing.seconds += seconds
                self._report(standing, draw, result, rate, pairs / seconds, bar, pairs)
                self._pause(standing)
        if self.crew.leads:
            self.encoder.load_trained_state(self.checkpoints.best())
        self.crew.spread(list(self.encoder.trained()))
        return standing

    def _pause(self, standing: Standing) -> None:
        """What is to be done between this step and the next."""
        scored = self.plan.scores_after(standing.step)
        if scored:
            self._score(standing)
        last = standing.stopped or standing.step == self.plan.steps
        if last or standing.step % self.recipe.checkpoint_steps == 0:
            self._checkpoint(standing)

    def _report(
        self,
        standing: Standing,
        draw: Draw,
        result: StepResult,
        rate: float,
        speed: float,
        bar: ProgressTask,
        pairs: int,
    ) -> None:
        for kind, count in draw.drawn.items():
            standing.drawn[kind] = standing.drawn.get(kind, 0) + count
        metrics = {
            "train_loss": result.loss,
            "gradient": result.gradient,
            "learning_rate": rate,
            "temperature": self.objective.temperature,
            "pairs_per_second": speed,
            **{f"drawn_{kind}": float(count) for kind, count in draw.drawn.items()},
        }
        self.tracker.log(f"seed-{self.seed}", standing.step, metrics)
        bar.advance(pairs, loss=result.loss)

    def _score(self, standing: Standing) -> None:
        """Score, and keep the weights where they are the best so far.

        Every process scores, so that all decide alike; one writes.
        """
        metrics = self.crew.everyone(self.scoring())[0]
        tracked = {f"validation_{name}": value for name, value in metrics.items()}
        self.tracker.log(f"seed-{self.seed}", standing.step, tracked)
        logger.info(
            "step %d of %d: validation MRR@10 %.4f, loss %.4f",
            standing.step,
            self.plan.steps,
            metrics["mrr@10"],
            metrics["loss"],
        )
        if standing.score(metrics, self.recipe.patience) and self.crew.leads:
            self.checkpoints.keep_best(standing.step, self.encoder.trained_state())

    def _lost(self, standing: Standing, result: StepResult) -> UsageError:
        return UsageError(
            f"train: step {standing.step + 1} has the loss {result.loss} and a gradient of length "
            f'{result.gradient}; lower learning_rate ({self.rate:g}), or set dtype = "float32". The weights of '
            f"step {standing.best_step}, the best so far, are kept in {self.checkpoints.folder}"
        )

    def _checkpoint(self, standing: Standing) -> None:
        device = self.encoder.device
        random = self.crew.everyone(RandomState.now(device))
        if self.crew.leads:
            tensors, numbers = self.optimizer.state()
            held = {f"optimizer/{name}": tensor for name, tensor in tensors.items()}
            held |= {f"weights/{name}": tensor for name, tensor in self.encoder.trained_state().items()}
            held |= {f"objective/{row}": parameter for row, parameter in enumerate(self.objective.parameters)}
            for rank, state in enumerate(random):
                held[f"random/{rank}/cpu"] = state.cpu
                if state.cuda is not None:
                    held[f"random/{rank}/cuda"] = state.cuda
            self.checkpoints.write(
                standing.step, {"standing": standing.as_json(), "optimizer": numbers}, held
            )
        self.crew.wait()

    def _resume(self) -> Standing:
        found = self.checkpoints.read()
        if found is None:
            return Standing()
        try:
            standing = Standing(**found.state["standing"])
            self._take(found.state["optimizer"], found.tensors)
        except (KeyError, TypeError) as error:
            raise CorruptArtifactError(
                f"{self.checkpoints.folder}: lacks a part of a checkpoint ({error}); remove it"
            ) from error
        logger.info("training goes on behind step %d of %d", standing.step, self.plan.steps)
        return standing

    def _take(self, numbers: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        parts: dict[str, dict[str, Tensor]] = {"optimizer": {}, "weights": {}}
        for name, tensor in tensors.items():
            part, _, rest = name.partition("/")
            parts.setdefault(part, {})[rest] = tensor
        self.encoder.load_trained_state(parts["weights"])
        self.optimizer.load(parts["optimizer"], numbers)
        with torch.no_grad():
            for row, parameter in enumerate(self.objective.parameters):
                parameter.copy_(parts["objective"][str(row)])
        mine = parts["random"]
        RandomState(mine[f"{self.crew.rank}/cpu"], mine.get(f"{self.crew.rank}/cuda")).restore(
            self.encoder.device
        )

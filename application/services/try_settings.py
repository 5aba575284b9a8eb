"""Train heads by one set of settings after another, on the same rows, and say how they do on validation."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from time import perf_counter

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.heads import HeadScorer, HeadTrainer, TrainedHead
from fusionapp.application.ports.progress import Progress
from fusionapp.application.ports.tracker import Tracker
from fusionapp.application.ports.trial_sampler import Trial
from fusionapp.application.services.fit_linear_path import FitLinearPath, RowsBesidePath
from fusionapp.application.services.prepare_classification import ClassificationData
from fusionapp.domain.errors import ResourceError, UsageError
from fusionapp.domain.fusion.spec import FusionSpec
from fusionapp.domain.recipe import TrainingRecipe
from fusionapp.domain.scores import Scores
from fusionapp.domain.search import Values, apply_values
from fusionapp.domain.statistics.bootstrap import Replicates, bootstrap_classification, bootstrap_mean

logger = logging.getLogger(__name__)

REPLICATES = 2000

Paths = dict[tuple[str, int], RowsBesidePath]
"""By kind of linear path, the rows with its scores: no other searched setting changes them."""


@attrs.frozen(eq=False)
class Judgement:
    """How settings do on validation, more being better.

    Attributes:
        by_seed: (seeds,) scores.
        replicates: (draws,) of their mean, over resampled validation rows; those of other settings pair with them.
    """

    by_seed: NDArray[np.float64]
    replicates: Replicates


@attrs.frozen
class TrySettings:
    """Trains heads that nobody keeps.

    Attributes:
        trainer: trains them.
        scorer: runs them.
        fit_path: fits what they add to.
        scratch: a directory for them, gone when it is left.
        tracker: told of every epoch.
        progress: the same.
    """

    trainer: HeadTrainer
    scorer: HeadScorer
    fit_path: FitLinearPath
    scratch: Callable[[], AbstractContextManager[str]]
    tracker: Tracker
    progress: Progress

    def __call__(
        self,
        values: Values,
        fusion: FusionSpec,
        recipe: TrainingRecipe,
        seeds: Sequence[int],
        data: ClassificationData,
        paths: Paths,
    ) -> Trial:
        """Settings as a trial; those that cannot be trained make one without a score.

        Args:
            values: what takes the place of the settings.
            fusion: the settings.
            recipe: the settings.
            seeds: one head each.
            data: trained on and scored by.
            paths: linear paths fitted before; a new one is added.
        """
        start = perf_counter()
        try:
            with self.scratch() as directory:
                heads, _ = self._train(values, fusion, recipe, seeds, data, paths, directory)
        except (UsageError, ResourceError) as error:
            logger.warning("search: %s: %s", dict(values), error)
            return Trial(values, None, (), perf_counter() - start, str(error))
        by_seed = _by_seed(heads, recipe)
        return Trial(values, float(by_seed.mean()), tuple(by_seed.tolist()), perf_counter() - start)

    def judge(
        self,
        values: Values,
        fusion: FusionSpec,
        recipe: TrainingRecipe,
        seeds: Sequence[int],
        data: ClassificationData,
        paths: Paths,
    ) -> Judgement:
        """Settings with what chance there is in their score; arguments as above."""
        labels = data.validation.labels
        with self.scratch() as directory:
            heads, beside = self._train(values, fusion, recipe, seeds, data, paths, directory)
            probabilities = self.scorer.score(
                [head.directory for head in heads], data.validation.sources, beside.validation.linear
            )
        if recipe.metric == "loss":
            chosen = probabilities[:, np.arange(len(labels)), labels]
            replicates = bootstrap_mean(np.log(np.maximum(chosen, 1e-12)), REPLICATES)
        else:
            predicted = Scores.of(probabilities).predicted
            replicates = bootstrap_classification(labels, predicted, draws=REPLICATES)[recipe.metric]
        return Judgement(_by_seed(heads, recipe), replicates)

    def _train(
        self,
        values: Values,
        fusion: FusionSpec,
        recipe: TrainingRecipe,
        seeds: Sequence[int],
        data: ClassificationData,
        paths: Paths,
        directory: str,
    ) -> tuple[Sequence[TrainedHead], RowsBesidePath]:
        fusion, recipe = apply_values(values, fusion, recipe)
        beside = self._beside_path(recipe, seeds[0], data, paths, directory)
        heads = self.trainer.train(
            fusion=fusion,
            recipe=recipe,
            seeds=list(seeds),
            classes=len(data.classes),
            train=beside.train,
            validation=beside.validation,
            directories=[f"{directory}/seed-{seed}" for seed in seeds],
            tracker=self.tracker,
            progress=self.progress,
        )
        return heads, beside

    def _beside_path(
        self, recipe: TrainingRecipe, seed: int, data: ClassificationData, paths: Paths, directory: str
    ) -> RowsBesidePath:
        key = (recipe.linear_path, seed)
        if key not in paths:
            paths[key] = self.fit_path(
                recipe, len(data.classes), data.train, data.validation, seed, directory
            )
        return paths[key]


def _by_seed(heads: Sequence[TrainedHead], recipe: TrainingRecipe) -> NDArray[np.float64]:
    """Each head's validation metric, a loss with its sign turned."""
    values = np.array([head.validation[recipe.metric] for head in heads])
    return -values if recipe.metric == "loss" else values

"""The controls that every fused result is printed beside."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from time import perf_counter

import attrs
import numpy as np

from fusionapp.application.ports.linear_control import LinearControl, LinearKind
from fusionapp.application.ports.progress import Progress
from fusionapp.application.services.gather_embeddings import SplitEmbeddings
from fusionapp.application.services.prepare_classification import ClassificationData
from fusionapp.application.services.score_heads import HeadScores, ScoreHeads
from fusionapp.application.services.train_classifier import TrainClassifier, Training
from fusionapp.domain.embeddings import Json
from fusionapp.domain.fusion.spec import FusionSpec
from fusionapp.domain.recipe import TrainingRecipe
from fusionapp.domain.scores import Scores, deviation

logger = logging.getLogger(__name__)

LINEAR_KINDS: tuple[LinearKind, ...] = ("linear_svm", "logistic_regression")


@attrs.frozen(eq=False)
class Contender:
    """One row of a leaderboard, before it is judged.

    Attributes:
        name: as printed.
        test: what it says of the rows to judge by.
        validation: its mean validation accuracy.
        validation_sd: over seeds.
        seconds: training time.
        parameters: trained numbers, where they were counted.
        note: what was chosen (a linear model's C).
    """

    name: str
    test: Scores
    validation: float
    validation_sd: float
    seconds: float
    parameters: int | None = None
    note: str = ""

    @classmethod
    def of_heads(cls, name: str, trained: Training, test: Scores) -> Contender:
        """Heads of several seeds, with what they say."""
        accuracies = np.array([head.validation["accuracy"] for head in trained.heads])
        return cls(
            name=name,
            test=test,
            validation=float(accuracies.mean()),
            validation_sd=deviation(accuracies),
            seconds=trained.seconds,
            parameters=trained.heads[0].parameters,
        )


@attrs.frozen
class RunControls:
    """Trains the controls on the rows that the fusion was trained on.

    Attributes:
        train: trains heads.
        score: runs them.
        linear: fits linear models.
        progress: told of the fits.
    """

    train: TrainClassifier
    score: ScoreHeads
    linear: LinearControl
    progress: Progress

    def __call__(
        self,
        fusion: FusionSpec,
        recipe: TrainingRecipe,
        seeds: Sequence[int],
        data: ClassificationData,
        test: SplitEmbeddings,
        costs: Sequence[float],
        carried: Mapping[str, Json],
        tuned: Sequence[str] = (),
    ) -> list[Contender]:
        """Each source alone, plain concatenation, and two tuned linear models over the very same embeddings.

        A control that would be the fusion itself (concatenation of a single source, say) is left out. Heads that
        read a tuned source have no linear path: on the rows that its encoder was tuned on, no fold is unseen.
        """
        without_path = attrs.evolve(recipe, linear_path="none")
        plain = FusionSpec(kind="concat", bag_width=fusion.bag_width)
        sources = list(data.train.sources)
        jobs: list[tuple[str, str, Sequence[str]]] = []
        if len(sources) > 1:
            jobs = [(f"{name} alone", f"controls/source-{name}", [name]) for name in sources]
        if fusion.kind != "concat":
            jobs.append(("concat", "controls/concat", ()))
        contenders = [
            self._heads(
                name,
                group,
                plain,
                without_path if {*(chosen or sources)} & {*tuned} else recipe,
                seeds,
                data,
                test,
                carried,
                chosen,
            )
            for name, group, chosen in jobs
        ]
        return contenders + [self._linear(kind, recipe, data, test, costs) for kind in LINEAR_KINDS]

    def _heads(
        self,
        name: str,
        group: str,
        fusion: FusionSpec,
        recipe: TrainingRecipe,
        seeds: Sequence[int],
        data: ClassificationData,
        test: SplitEmbeddings,
        carried: Mapping[str, Json],
        sources: Sequence[str],
    ) -> Contender:
        trained = self.train(group, fusion, recipe, seeds, data, carried, sources)
        return Contender.of_heads(name, trained, self.score(group, seeds, test, sources).seeds)

    def path(self, trained: Training, scores: HeadScores) -> list[Contender]:
        """The run's own linear path without its heads: what do they add to it?"""
        if trained.path is None or scores.path is None:
            return []
        return [
            Contender(
                name="linear path alone",
                test=scores.path,
                validation=trained.path.validation,
                validation_sd=0.0,
                seconds=trained.path.seconds,
                note=f"C={trained.path.cost:g}",
            )
        ]

    def _linear(
        self,
        kind: LinearKind,
        recipe: TrainingRecipe,
        data: ClassificationData,
        test: SplitEmbeddings,
        costs: Sequence[float],
    ) -> Contender:
        start = perf_counter()
        fitted = self.linear.fit(
            kind,
            len(data.classes),
            data.train,
            data.validation,
            test.sources,
            recipe.sources,
            costs,
            self.progress,
        )
        tried = ", ".join(f"C={cost:g}: {accuracy:.4f}" for cost, accuracy in fitted.tried.items())
        logger.info("%s on validation: %s; chosen C=%g", kind, tried, fitted.cost)
        return Contender(
            name=kind,
            test=Scores.of(fitted.test[None], fitted.probabilistic),
            validation=max(fitted.tried.values()),
            validation_sd=0.0,
            seconds=perf_counter() - start,
            note=f"C={fitted.cost:g}",
        )

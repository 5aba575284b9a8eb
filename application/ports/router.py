"""Routers: from a prompt to a score for every model."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal, Protocol

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.progress import Progress
from fusionapp.application.ports.tracker import Tracker
from fusionapp.domain.embeddings import Embeddings
from fusionapp.domain.routing.answers import Battles, ScoreMatrix
from fusionapp.domain.routing.recipe import RouterRecipe

BaselineKind = Literal[
    "random",
    "best_single",
    "cheapest",
    "prompt_blind",
    "knn",
    "kmeans",
    "ridge",
    "ridge_tfidf",
    "matrix_factorisation",
]


@attrs.frozen(eq=False)
class Prompts:
    """Prompts as routers see them.

    Attributes:
        texts: (prompts,) their texts.
        embeddings: by encoder: dense (prompts, layers, dim) float32 or CSR (prompts, vocabulary).
    """

    texts: Sequence[str]
    embeddings: Mapping[str, Embeddings]

    def part(self, rows: slice, encoders: Collection[str] | None = None) -> Prompts:
        """Some of them, with the embeddings of some encoders; None: of all."""
        names = self.embeddings if encoders is None else encoders
        return Prompts(self.texts[rows], {name: self.embeddings[name][rows] for name in names})


@attrs.frozen(eq=False)
class AnsweredPrompts:
    """Prompts with what is known of the models' answers: scores, battles, or both made of one another.

    Attributes:
        prompts: the prompts.
        scores: of every model; NaN where it did not answer.
        battles: of two models each.
    """

    prompts: Prompts
    scores: ScoreMatrix
    battles: Battles


class Router(Protocol):
    """A router that was trained, or that needs no training."""

    @property
    def models(self) -> Sequence[str]:
        """The models that it scores, in the order of columns."""

    def score(self, prompts: Prompts) -> NDArray[np.float32]:
        """(prompts, models) in [-1, 1]; more is better. The same mapping as in training.

        Raises:
            UsageError: an embedding that the router was trained on is missing, or has another width.
        """

    def success(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """(prompts, models) calibrated expected quality in [0, 1] of scores of (prompts, models)."""


@attrs.frozen
class TrainedRouter:
    """One seed's router on disk.

    Attributes:
        directory: where it stands.
        seed: which seed.
        best_epoch: the epoch kept, counted from 1; 0 where the network adds nothing to the base.
        epochs: epochs run before it stopped.
        parameters: trained numbers in the network.
        validation: metrics at the best epoch: ``quality``, ``pairwise_accuracy``, ``loss``.
    """

    directory: str
    seed: int
    best_epoch: int
    epochs: int
    parameters: int
    validation: Mapping[str, float]


class RouterTrainer(Protocol):
    """Trains one router per seed."""

    def train(
        self,
        recipe: RouterRecipe,
        seeds: Sequence[int],
        train: AnsweredPrompts,
        validation: AnsweredPrompts,
        directories: Sequence[str],
        tracker: Tracker,
        progress: Progress,
    ) -> Sequence[TrainedRouter]:
        """Train on `train`, stop and choose on `validation`, and save seed i's router in directories[i].

        Raises:
            UsageError: the recipe does not fit the data.
            ResourceError: it does not fit in memory.
        """


class Routers(Protocol):
    """Opens what `RouterTrainer` saved."""

    def open(self, directories: Sequence[str]) -> Router:
        """The ensemble of saved routers: the mean of their scores.

        Raises:
            CorruptArtifactError: an artefact is missing or unreadable.
            UsageError: they are over different models, or none is given.
        """


class RouterBaselines(Protocol):
    """Fits the routers that every other is held against."""

    def fit_baseline(
        self, kind: BaselineKind, train: AnsweredPrompts, validation: AnsweredPrompts, seed: int
    ) -> Router:
        """A baseline, its settings chosen on `validation` alone.

        Raises:
            UsageError: what the kind looks at is not there: dense embeddings, or a model's quality or cost.
        """

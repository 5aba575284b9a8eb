"""The baselines that every router stands beside, each with its settings chosen on validation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Protocol

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.adapters.routers.blind import Constant, Lots, cheapness
from fusionapp.adapters.routers.lexical import TextEstimate, fit_texts
from fusionapp.adapters.routers.neighbours import Clusters, Neighbours
from fusionapp.adapters.routers.ridge import Wide, fit_ridge
from fusionapp.adapters.routers.stack import centred
from fusionapp.adapters.torch_shared.router_inputs import (
    InputCard,
    check_inputs,
    has_dense,
    read_cards,
    unit_vectors,
)
from fusionapp.application.ports.router import (
    AnsweredPrompts,
    BaselineKind,
    Prompts,
    Router,
    RouterBaselines,
)
from fusionapp.domain.errors import UsageError
from fusionapp.domain.routing.factorisation import Factorisation
from fusionapp.domain.routing.mapping import score_of_logit, score_of_quality
from fusionapp.domain.routing.strengths import log_strengths
from fusionapp.domain.routing.success import Isotonic

Floats = NDArray[np.float32]
NEIGHBOURS = (5, 10, 20, 40, 80, 160)
CLUSTERS = (4, 8, 16, 32, 64)
FACTOR_PENALTIES = (0.3, 1.0, 3.0, 10.0, 30.0)


class Scorer(Protocol):
    """From prompts to scores."""

    def __call__(self, prompts: Prompts, /) -> Floats:
        """(prompts, models) in [-1, 1]."""


@attrs.frozen(eq=False)
class BaselineRouter(Router):
    """A baseline.

    Attributes:
        models: names.
        scorer: of prompts.
        calibration: from scores to success, fitted on validation.
    """

    models: Sequence[str]
    scorer: Scorer
    calibration: Isotonic

    def score(self, prompts: Prompts) -> Floats:
        """See `Router.score`."""
        return self.scorer(prompts)

    def success(self, scores: Floats) -> Floats:
        """See `Router.success`."""
        return self.calibration(scores)


@attrs.frozen(eq=False)
class _OfVectors:
    """Scores by an estimate of centred quality from unit vectors."""

    cards: tuple[InputCard, ...]
    level: Wide
    estimate: Callable[[Floats], NDArray[np.floating]]

    def __call__(self, prompts: Prompts) -> Floats:
        check_inputs(self.cards, prompts)
        return _scores(self.level + self.estimate(unit_vectors(self.cards, prompts)))


@attrs.frozen(eq=False)
class _OfTexts:
    level: Wide
    estimate: TextEstimate

    def __call__(self, prompts: Prompts) -> Floats:
        return _scores(self.level + self.estimate(prompts.texts))


class NumpyBaselines(RouterBaselines):
    """Fits baselines over the models with a known quality in train."""

    def fit_baseline(
        self, kind: BaselineKind, train: AnsweredPrompts, validation: AnsweredPrompts, seed: int
    ) -> Router:
        """See `RouterBaselines.fit_baseline`.

        Raises:
            UsageError: also for a model without what the kind looks at: a quality, or for "cheapest" a cost.
        """
        if list(train.scores.models) != list(validation.scores.models):
            raise UsageError("routing: train and validation are of different models; read them alike")
        scorer = _FITS[kind](train, validation, seed)
        scores = scorer(validation.prompts)
        calibration = Isotonic.fit(scores, validation.scores.quality)
        return BaselineRouter(tuple(train.scores.models), scorer, calibration)


def _random(train: AnsweredPrompts, _: AnsweredPrompts, seed: int) -> Scorer:
    return Lots(seed, len(train.scores.models))


def _best_single(train: AnsweredPrompts, _: AnsweredPrompts, __: int) -> Scorer:
    level, _target = centred(train.scores)
    return Constant(_scores(level))


def _cheapest(train: AnsweredPrompts, _: AnsweredPrompts, __: int) -> Scorer:
    return Constant(cheapness(train.scores))


def _prompt_blind(train: AnsweredPrompts, _: AnsweredPrompts, __: int) -> Scorer:
    """The score of a model is that of its odds against one of mean strength."""
    return Constant(score_of_logit(log_strengths(train.battles) / 2).astype(np.float32))


def _knn(train: AnsweredPrompts, validation: AnsweredPrompts, _: int) -> Scorer:
    cards, units, level, target = _vectors("knn", train)
    counts = sorted({min(count, len(units)) for count in NEIGHBOURS})
    return _choose(cards, level, (Neighbours(units, target, count) for count in counts), validation)


def _kmeans(train: AnsweredPrompts, validation: AnsweredPrompts, seed: int) -> Scorer:
    cards, units, level, target = _vectors("kmeans", train)
    counts = sorted({min(count, len(units)) for count in CLUSTERS})
    return _choose(cards, level, (Clusters.fit(units, target, count, seed) for count in counts), validation)


def _ridge(train: AnsweredPrompts, validation: AnsweredPrompts, _: int) -> Scorer:
    cards, units, level, target = _vectors("ridge", train)
    centre = units.mean(0, dtype=np.float64)
    judged = unit_vectors(cards, validation.prompts) - centre

    def judge(weights: Wide) -> float:
        return _error(level + judged @ weights, validation)

    weights = fit_ridge((units - centre).astype(np.float32), target, judge).weights
    return _OfVectors(cards, level, partial(_linear, centre, weights))


def _ridge_tfidf(train: AnsweredPrompts, validation: AnsweredPrompts, _: int) -> Scorer:
    level, target = centred(train.scores)

    def judge(estimate: TextEstimate) -> float:
        return _error(level + estimate(validation.prompts.texts), validation)

    return _OfTexts(level, fit_texts(train.prompts.texts, target, judge))


def _matrix_factorisation(train: AnsweredPrompts, validation: AnsweredPrompts, _: int) -> Scorer:
    cards, units, level, target = _vectors("matrix_factorisation", train)
    most = min(target.shape[1], units.shape[1])
    candidates = (
        Factorisation.fit(units, target, rank, penalty)
        for rank in sorted({1, 2, 4, most} & set(range(1, most + 1)))
        for penalty in FACTOR_PENALTIES
    )
    return _choose(cards, level, candidates, validation)


_FITS: dict[BaselineKind, Callable[[AnsweredPrompts, AnsweredPrompts, int], Scorer]] = {
    "random": _random,
    "best_single": _best_single,
    "cheapest": _cheapest,
    "prompt_blind": _prompt_blind,
    "knn": _knn,
    "kmeans": _kmeans,
    "ridge": _ridge,
    "ridge_tfidf": _ridge_tfidf,
    "matrix_factorisation": _matrix_factorisation,
}


def _vectors(kind: str, train: AnsweredPrompts) -> tuple[tuple[InputCard, ...], Floats, Wide, Wide]:
    cards = tuple(card for card in read_cards(train.prompts) if not card.sparse)
    if not has_dense(cards):
        raise UsageError(
            f"routing: {kind} compares dense embeddings, and there are none; name a dense encoder"
        )
    level, target = centred(train.scores)
    return cards, unit_vectors(cards, train.prompts), level, target


def _choose(
    cards: tuple[InputCard, ...],
    level: Wide,
    candidates: Iterable[Callable[[Floats], NDArray[np.floating]]],
    validation: AnsweredPrompts,
) -> Scorer:
    check_inputs(cards, validation.prompts)
    units = unit_vectors(cards, validation.prompts)
    best = min(candidates, key=lambda estimate: _error(level + estimate(units), validation))
    return _OfVectors(cards, level, best)


def _linear(centre: Wide, weights: Wide, units: Floats) -> Wide:
    told: Wide = (units - centre) @ weights
    return told


def _error(quality: NDArray[np.floating], answered: AnsweredPrompts) -> float:
    """Mean squared error over known answers."""
    known = ~np.isnan(answered.scores.quality)
    return float(np.square(quality[known] - answered.scores.quality[known]).mean())


def _scores(quality: NDArray[np.floating]) -> Floats:
    scores: Floats = score_of_quality(np.clip(quality, 0.0, 1.0)).astype(np.float32)
    return scores

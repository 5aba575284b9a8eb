"""Cold start: a new model's quality from those of known models, by a few probe answers and without retraining."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from fusionapp.domain.embeddings import Json
from fusionapp.domain.errors import UsageError
from fusionapp.domain.routing.metrics import chosen_quality

Floats = NDArray[np.floating]
_PENALTIES = (0.3, 1.0, 3.0, 10.0)
_FOLDS = 10
_PRIOR_ANSWERS = 5.0
"""The intercept is the mean of the probes and of so many more that are as good as known models are on average."""


@attrs.frozen(eq=False)
class Newcomer:
    """A new model as a mixture of known ones.

    quality = level + sum of weights * (known qualities - centre), cut to [0, 1].

    Attributes:
        name: the new model's.
        level: its quality at the centre.
        centre: (models,) float64 mean qualities of the known models on the probes.
        weights: (models,) float64, at least 0.
        probes: how many answers it was fitted on.
        penalty: the one chosen.
    """

    name: str
    level: float
    centre: NDArray[np.float64]
    weights: NDArray[np.float64]
    probes: int
    penalty: float

    def __call__(self, known: Floats) -> NDArray[np.float32]:
        """(prompts,) quality in [0, 1] of the known models' expected qualities (prompts, models)."""
        told = self.level + (known - self.centre) @ self.weights
        return np.clip(told, 0.0, 1.0).astype(np.float32)

    def to_json(self) -> dict[str, Json]:
        """As JSON holds it, but for the name."""
        return {
            "level": self.level,
            "centre": self.centre.tolist(),
            "weights": self.weights.tolist(),
            "probes": self.probes,
            "penalty": self.penalty,
        }

    @classmethod
    def of_json(cls, name: str, entry: Mapping[str, Any], models: int) -> Newcomer:
        """What `to_json` gave.

        Args:
            name: of the new model.
            entry: trusted in nothing.
            models: how many are known.

        Raises:
            ValueError: it is no mixture of so many models.
            KeyError, TypeError: it is no such table.
        """
        centre, weights = (np.array(entry[key], dtype=np.float64) for key in ("centre", "weights"))
        numbers = [float(entry["level"]), float(entry["penalty"])]
        finite = all(map(isfinite, numbers)) and np.isfinite(centre).all() and np.isfinite(weights).all()
        if not centre.shape == weights.shape == (models,) or not finite or (weights < 0).any():
            raise ValueError(f"{name!r} is no mixture of {models} models")
        return cls(name, numbers[0], centre, weights, int(entry["probes"]), numbers[1])


def fit_newcomer(name: str, known: Floats, quality: Floats) -> Newcomer:
    """Fit a new model on probes.

    Non-negative ridge regression towards a newcomer that does as known models do on average: minimises
    |y - X w|^2 + penalty |w - 1 / models|^2 over w >= 0, X and y less their means. The penalty is the strongest of
    four whose error on probes left out, in ten parts or one by one, is within one standard error of the least
    (Breiman et al. 1984): ten answers, right or wrong, choose between penalties by chance, and what is overrated
    by chance is what a router chooses. The rule took what entering by ten probes costs in quality from .019 to
    .011, over nine language models' answers to 943 prompts.

    Args:
        name: of the new model.
        known: (probes, models) qualities in [0, 1] that a router expects of known models.
        quality: (probes,) the new model's, in [0, 1]; NaN where it did not answer.

    Raises:
        UsageError: rows that differ, no known model, or no known answer.
    """
    if known.ndim != 2 or quality.shape != known.shape[:1] or not known.shape[1]:
        raise UsageError(
            f"cold start of {name!r}: answers {quality.shape} for expected qualities {known.shape}; "
            "give one answer to each probe"
        )
    answered = ~np.isnan(quality)
    if not answered.any():
        raise UsageError(
            f"cold start of {name!r}: it answered none of {len(quality)} probes; give some answers"
        )
    x, y = known[answered].astype(np.float64), quality[answered].astype(np.float64)
    penalty = _choose_penalty(x, y)
    level, centre, weights = _fit(x, y, penalty)
    return Newcomer(name, level, centre, weights, len(y), penalty)


@attrs.frozen
class ColdStartCost:
    """What a model costs in quality that entered by probes, and not by training.

    Attributes:
        model: which known model was left out and let in again.
        probes: how many answers it entered with.
        trained_error: mean squared error of its expected quality as the router was trained.
        entered_error: the same as it entered.
        trained_quality: mean quality of the chosen model as the router was trained.
        entered_quality: the same with this model as it entered.
        absent_quality: the same without this model.
    """

    model: str
    probes: int
    trained_error: float
    entered_error: float
    trained_quality: float
    entered_quality: float
    absent_quality: float


def cold_start_costs(
    models: Sequence[str], expected: Floats, quality: Floats, probes: int, seed: int = 0
) -> list[ColdStartCost]:
    """Leave each model out in turn, let it in by probes, and measure on the prompts that were no probes.

    Args:
        models: names.
        expected: (prompts, models) qualities that a router expects, of prompts that it was not trained on.
        quality: (prompts, models); NaN where unknown.
        probes: answers that a model enters with.
        seed: of their draw.

    Returns:
        One for each model with more answers than probes.

    Raises:
        UsageError: no probes, fewer than two models, or no model with enough answers.
    """
    if probes < 1 or len(models) < 2:
        raise UsageError(
            f"cold start: {probes} probes of {len(models)} models; use 1 or more, of two or more"
        )
    costs = []
    for column, model in enumerate(models):
        answered = np.flatnonzero(~np.isnan(quality[:, column]))
        if len(answered) <= probes:
            continue
        drawn = np.random.default_rng((seed, column)).choice(answered, probes, replace=False)
        costs.append(_cost(model, column, expected, quality, drawn))
    if not costs:
        raise UsageError(f"cold start: no model has more than {probes} answers; use fewer probes")
    return costs


def mean_cost(model: str, costs: Sequence[ColdStartCost]) -> ColdStartCost:
    """The means of what several draws of probes, or several models, cost; at least one."""
    fields = ("trained_error", "entered_error", "trained_quality", "entered_quality", "absent_quality")
    means = [float(np.mean([getattr(cost, field) for cost in costs])) for field in fields]
    return ColdStartCost(model, costs[0].probes, *means)


def _cost(
    model: str, column: int, expected: Floats, quality: Floats, drawn: NDArray[np.int64]
) -> ColdStartCost:
    rest = np.setdiff1d(np.arange(len(quality)), drawn)
    others = np.delete(np.arange(expected.shape[1]), column)
    newcomer = fit_newcomer(model, expected[np.ix_(drawn, others)], quality[drawn, column])
    trained, truth = expected[rest].astype(np.float64), quality[rest]
    entered = trained.copy()
    entered[:, column] = newcomer(expected[np.ix_(rest, others)])
    errors = [float(np.nanmean(np.square(each[:, column] - truth[:, column]))) for each in (trained, entered)]
    absent = np.where(np.arange(expected.shape[1]) == column, -np.inf, trained)
    chosen = [chosen_quality(truth, each.argmax(axis=1)) for each in (trained, entered, absent)]
    all_known = ~np.isnan(np.sum(chosen, axis=0))
    means = [float(each[all_known].mean()) if all_known.any() else float("nan") for each in chosen]
    return ColdStartCost(model, len(drawn), *errors, *means)


def _fit(
    x: NDArray[np.float64], y: NDArray[np.float64], penalty: float
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    models = x.shape[1]
    centre = x.mean(axis=0)
    level = (y.sum() + _PRIOR_ANSWERS * centre.mean()) / (len(y) + _PRIOR_ANSWERS)
    root = penalty**0.5
    stacked = np.vstack([x - centre, root * np.eye(models)])
    target = np.concatenate([y - y.mean(), np.full(models, root / models)])
    weights, _ = nnls(stacked, target)
    return float(level), centre, weights


def _choose_penalty(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    if len(y) < 2:
        return _PENALTIES[-1]  # nothing is known against the average
    errors = np.array([_left_out_errors(x, y, penalty) for penalty in _PENALTIES])
    excess = errors - errors[errors.mean(axis=1).argmin()]
    standard_error = excess.std(axis=1, ddof=1) / len(y) ** 0.5
    return _PENALTIES[int(np.flatnonzero(excess.mean(axis=1) <= standard_error)[-1])]


def _left_out_errors(x: NDArray[np.float64], y: NDArray[np.float64], penalty: float) -> NDArray[np.float64]:
    """(probes,) squared error of each by a fit that did not see it."""
    folds = np.arange(len(y)) % min(_FOLDS, len(y))
    errors = np.empty(len(y))
    for fold in range(int(folds.max()) + 1):
        out = folds == fold
        level, centre, weights = _fit(x[~out], y[~out], penalty)
        errors[out] = np.square(level + (x[out] - centre) @ weights - y[out])
    return errors

"""What a contestant's scores are worth: the metrics of routing, each with its interval over prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.routing.answers import Battles
from fusionapp.domain.routing.cost_quality import (
    HULL_DRAWS,
    aiq_of_prompts,
    bootstrap_aiq,
    setting_means,
)
from fusionapp.domain.routing.metrics import (
    Ratio,
    battle_agreement,
    bootstrap_ratios,
    chosen_quality,
    gap_closed,
    gap_to_oracle,
    mean_known,
    pairwise_agreement,
)
from fusionapp.domain.routing.policy import Policy, choose, trade_offs
from fusionapp.domain.routing.reliability import bootstrap_success_error, success_error
from fusionapp.domain.routing.weak_strong import Handover, apgr, bootstrap_handover, cpt
from fusionapp.domain.scores import Summary, deviation
from fusionapp.domain.statistics.bootstrap import Replicates, interval

Floats = NDArray[np.floating]

COMPARED = (
    "quality",
    "pairwise_accuracy",
    "pairwise_accuracy_with_ties",
    "aiq",
    "apgr",
    "cpt@50",
    "cpt@80",
    "ece",
)
"""What contestants are compared on. The gap to the oracle is not among them: it differs as quality does."""

LESS_IS_BETTER = frozenset({"cpt@50", "cpt@80", "ece"})

SETTINGS = 30
"""Settings of the trade-off at which cost and quality are read off."""


@attrs.frozen(eq=False)
class Field:
    """What all contestants are judged by.

    Attributes:
        models: names, in the order of columns.
        quality: (prompts, models) of the split; NaN where unknown.
        cost: (prompts, models) USD that an answer costs; NaN where unknown.
        best_single: the column that is best on train.
        weak: the column of the cheapest model, or of the worst where prices are unknown.
        battles: those that the qualities are shares of wins of, where battles alone are known; None where answers
            have scores of their own. Pairs are judged by them then: shares would pair models that never met, and
            count a pair that met twice once.
        foretold: (prompts, models) USD that an answer is expected to cost before it is given: what choices weigh.
            By an answer's own cost nobody could choose, and it tells of the answer.
    """

    models: Sequence[str]
    quality: NDArray[np.float64]
    cost: NDArray[np.float64]
    best_single: int
    weak: int
    battles: Battles | None = attrs.field(default=None, kw_only=True)
    foretold: NDArray[np.float64] = attrs.field(
        default=attrs.Factory(lambda field: field.cost, takes_self=True), kw_only=True
    )

    @property
    def shares(self) -> bool:
        """Whether qualities are shares of wins, as battles alone are known."""
        return self.battles is not None

    @property
    def priced(self) -> bool:
        """Whether every answer has a price, and had one before it was given."""
        return bool(np.isfinite(self.cost).all() and np.isfinite(self.foretold).all())


@attrs.frozen(eq=False)
class Contestant:
    """Whoever scores models for prompts.

    Attributes:
        name: as printed.
        scores: of each seed (prompts, models).
        success: of each seed, calibrated expected quality in [0, 1].
        ranks: whether scores order models within a prompt; a single model's do not.
    """

    name: str
    scores: Sequence[NDArray[np.float32]]
    success: Sequence[NDArray[np.float32]]
    ranks: bool = True


@attrs.frozen(eq=False)
class Judgement:
    """A contestant's numbers.

    Attributes:
        metrics: by name.
        replicates: by metric, of those that contestants are compared on; of the same draws of prompts for all.
        by_prompt: (prompts,) quality of the chosen answer, the mean of seeds; NaN where it is unknown.
        cost: mean USD of the chosen answers; None where prices are unknown.
        curve: mean (cost, quality) at each setting of the trade-off; empty where prices are unknown.
    """

    metrics: Mapping[str, Summary]
    replicates: Mapping[str, Replicates]
    by_prompt: NDArray[np.float64]
    cost: float | None
    curve: Sequence[tuple[float, float]]


def single_model(name: str, column: int, field: Field) -> Contestant:
    """Always the same model."""
    scores = np.full(field.quality.shape, -1.0, dtype=np.float32)
    scores[:, column] = 1.0
    success = np.maximum(scores, np.float32(0.0))
    return Contestant(f"always {name}", [scores], [success], ranks=False)


def oracle_of(field: Field) -> Contestant:
    """Whoever knows every answer; an unknown one is never its choice."""
    known = np.nan_to_num(field.quality, nan=0.0).astype(np.float32)
    return Contestant("oracle", [known * 2 - 1], [known])


def judge_contestant(contestant: Contestant, field: Field, draws: int) -> Judgement:
    """Every metric, over seeds and prompts."""
    ratios = [_ratios(scores, field, contestant.ranks) for scores in contestant.scores]
    pooled = {
        name: Ratio(
            np.mean([one[name].total for one in ratios], axis=0),
            np.mean([one[name].count for one in ratios], axis=0),
        )
        for name in ratios[0]
    }
    replicates = bootstrap_ratios(pooled, draws)
    # Where no two answers differ there is nothing to rank and no gap to close: such a metric is left out.
    metrics = {
        name: _summary(np.array([one[name].value for one in ratios]), replicates[name])
        for name in pooled
        if np.isfinite(pooled[name].value)
    }
    few = min(draws, HULL_DRAWS)
    if contestant.ranks:
        metrics |= _calibration(contestant, field, few, replicates)
        metrics |= _handover(contestant, field, few, replicates)
    curve: list[tuple[float, float]] = []
    cost = None
    if field.priced:
        metrics |= _aiq(contestant, field, few, replicates)
        curve = _curve(contestant, field)
        spent = [chosen_quality(field.cost, _best(scores, field)) for scores in contestant.scores]
        cost = float(np.mean(spent))
    chosen = [chosen_quality(field.quality, _best(scores, field)) for scores in contestant.scores]
    compared = {name: replicates[name] for name in COMPARED if name in metrics}
    return Judgement(metrics, compared, np.mean(chosen, axis=0), cost, curve)


def _best(scores: Floats, field: Field) -> NDArray[np.int64]:
    return choose(scores, scores, field.foretold, Policy()).model


def _ratios(scores: Floats, field: Field, ranks: bool) -> dict[str, Ratio]:
    chosen = _best(scores, field)
    found = {
        "quality": mean_known(chosen_quality(field.quality, chosen)),
        "gap_to_oracle": gap_to_oracle(field.quality, chosen),
        "gap_closed": gap_closed(field.quality, chosen, field.best_single),
    }
    if ranks:
        found["pairwise_accuracy"] = _agreement(scores, field, ties=False)
        found["pairwise_accuracy_with_ties"] = _agreement(scores, field, ties=True)
    return found


def _agreement(scores: Floats, field: Field, ties: bool) -> Ratio:
    if field.battles is None:
        return pairwise_agreement(scores, field.quality, ties)
    return battle_agreement(scores, field.battles, ties)


def _calibration(
    contestant: Contestant, field: Field, draws: int, replicates: dict[str, Replicates]
) -> dict[str, Summary]:
    """The error of foretold success; its replicates are added to the others."""
    values = np.array([success_error(success, field.quality) for success in contestant.success])
    drawn = [bootstrap_success_error(success, field.quality, draws=draws) for success in contestant.success]
    replicates["ece"] = np.mean(drawn, axis=0)
    return {"ece": _summary(values, replicates["ece"])}


def _handover(
    contestant: Contestant, field: Field, draws: int, replicates: dict[str, Replicates]
) -> dict[str, Summary]:
    """APGR and CPT between the weak model and the best single one, and their replicates.

    There are none where the weak one is as good.
    """
    weak, strong = field.weak, field.best_single
    known = np.isfinite(field.quality[:, [weak, strong]]).all(axis=1)
    quality = field.quality[known]
    if weak == strong or not len(quality) or quality[:, strong].mean() <= quality[:, weak].mean():
        return {}
    handovers = [
        Handover.of(scores[known, strong] - scores[known, weak], quality[:, weak], quality[:, strong])
        for scores in contestant.scores
    ]
    drawn = [bootstrap_handover(one, draws=draws) for one in handovers]
    values = {
        "apgr": [apgr(one) for one in handovers],
        "cpt@50": [cpt(one, 0.5) for one in handovers],
        "cpt@80": [cpt(one, 0.8) for one in handovers],
    }
    # Whether the strong model is better in a draw depends on the draw alone: all seeds are NaN, or none.
    replicates |= {name: np.mean([one[name] for one in drawn], axis=0) for name in values}
    return {name: _summary(np.array(each), replicates[name]) for name, each in values.items()}


def settings_of(success: Floats, scores: Floats, field: Field) -> tuple[Floats, Floats]:
    """(settings, prompts) cost and quality of what is chosen at each trade-off; NaN where a quality is unknown."""
    costs, qualities = [], []
    for trade_off in trade_offs(success, field.foretold, SETTINGS):
        chosen = choose(scores, success, field.foretold, Policy(trade_off=float(trade_off))).model
        costs.append(chosen_quality(field.cost, chosen))
        qualities.append(chosen_quality(field.quality, chosen))
    return np.array(costs), np.array(qualities)


def _aiq(
    contestant: Contestant, field: Field, draws: int, replicates: dict[str, Replicates]
) -> dict[str, Summary]:
    """The area under the hull; its replicates are added to the others."""
    means = field.cost.mean(axis=0)
    low, high = float(means.min()), float(means.max())
    if low >= high:
        return {}
    values, drawn = [], []
    for scores, success in zip(contestant.scores, contestant.success, strict=True):
        cost, quality = settings_of(success, scores, field)
        values.append(aiq_of_prompts(cost, quality, low, high)[0])
        drawn.append(bootstrap_aiq(cost, quality, low, high, draws=draws))
    if not np.isfinite(values).all():
        return {}
    replicates["aiq"] = np.mean(drawn, axis=0)
    return {"aiq": _summary(np.array(values), replicates["aiq"])}


def _curve(contestant: Contestant, field: Field) -> list[tuple[float, float]]:
    cost, quality = settings_of(contestant.success[0], contestant.scores[0], field)
    (spent,), (means,) = setting_means(cost, quality)
    points = zip(spent.tolist(), means.tolist(), strict=True)
    return sorted(dict.fromkeys(point for point in points if isfinite(point[1])))


def _summary(values: NDArray[np.float64], replicates: Replicates) -> Summary:
    bounds = interval(replicates[np.isfinite(replicates)])
    return Summary(float(np.nanmean(values)), deviation(values), bounds.low, bounds.high)

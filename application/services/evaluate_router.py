"""Judge a router beside the baselines, every single model and the oracle, prompt by prompt."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.run_store import RunStore
from fusionapp.application.services.router_metrics import (
    COMPARED,
    LESS_IS_BETTER,
    Contestant,
    Field,
    Judgement,
    judge_contestant,
    oracle_of,
    single_model,
)
from fusionapp.domain.errors import UsageError
from fusionapp.domain.routing.cost_quality import pareto_front
from fusionapp.domain.routing.reliability import ReliabilityBin, reliability
from fusionapp.domain.scores import Summary
from fusionapp.domain.statistics.bootstrap import Difference, Interval, paired_difference
from fusionapp.domain.statistics.holm import holm
from fusionapp.domain.statistics.sign_flips import differing_units
from fusionapp.domain.statistics.verdict import Verdict, verdict

logger = logging.getLogger(__name__)

VERDICT_ON = "quality"
Value = TypeVar("Value")


@attrs.frozen
class RouterRow:
    """One contestant with its numbers.

    Attributes:
        name: as printed.
        metrics: by name: quality, pairwise_accuracy, ..., aiq, apgr, cpt@50.
        cost: mean USD a prompt of the model chosen; None where prices are unknown.
        on_front: whether nothing else is as cheap and as good.
        verdict: the router against this one; "" for the router itself and for the oracle, which none can beat.
    """

    name: str
    metrics: Mapping[str, Summary]
    cost: float | None
    on_front: bool
    verdict: Verdict | str


@attrs.frozen
class RouterEvaluation:
    """A router beside its controls.

    Attributes:
        split: which split was scored.
        prompts: how many.
        models: by name, in the order of columns.
        result: the router's metrics, the mean of seeds.
        ensemble: the ensemble of seeds, which `route` uses.
        controls: by name.
        verdicts: the result against each control, on quality, corrected by Holm among the baselines and among the
            single models.
        differences: quality of the result less each control's.
        other_differences: by control, the same for what both have of `COMPARED` beside quality.
        other_verdicts: likewise, each metric corrected by itself.
        leaderboard: everyone, by quality.
        calibration: the ensemble's reliability table.
        curves: mean cost and quality at each setting of the trade-off, by contestant; empty without prices.
        shares: whether qualities are shares of wins, as battles alone are known.
    """

    split: str
    prompts: int
    models: Sequence[str]
    result: Mapping[str, Summary]
    ensemble: Mapping[str, Summary]
    controls: Mapping[str, Mapping[str, Summary]]
    verdicts: Mapping[str, Verdict]
    differences: Mapping[str, Difference]
    other_differences: Mapping[str, Mapping[str, Difference]]
    other_verdicts: Mapping[str, Mapping[str, Verdict]]
    leaderboard: Sequence[RouterRow]
    calibration: Sequence[ReliabilityBin]
    curves: Mapping[str, Sequence[tuple[float, float]]]
    shares: bool = False


@attrs.frozen
class EvaluateRouter:
    """Turns scores into an evaluation.

    Attributes:
        runs: the run directory, which receives every prompt's numbers.
    """

    runs: RunStore

    def __call__(
        self,
        split: str,
        prompt_ids: Sequence[str],
        field: Field,
        result: Contestant,
        ensemble: Contestant,
        controls: Sequence[Contestant],
        draws: int,
        baselines: bool,
    ) -> RouterEvaluation:
        """Judge everyone by a split; a control none of whose chosen answers is known is left out.

        Args:
            split: its name.
            prompt_ids: names of the prompts.
            field: what all contestants share: qualities, costs, the best single model of train, weak and strong.
            result: the router's seeds.
            ensemble: their mean.
            controls: baselines.
            draws: of the bootstrap over prompts.
            baselines: whether single models and the oracle stand in the table as well.

        Raises:
            UsageError: of no prompt is it known how good the answer that the router chose is.
        """
        judged, ensemble_judged = (_judge_router(one, field, draws, split) for one in (result, ensemble))
        single = (
            [single_model(name, column, field) for column, name in enumerate(field.models)]
            if baselines
            else []
        )
        judged_others = _judge_controls([*controls, *single], field, draws, split)
        differences = {
            metric: {
                name: _compare(judged, other, metric)
                for name, other in judged_others.items()
                if metric in judged.replicates and metric in other.replicates
            }
            for metric in COMPARED
        }
        # Two families: that a router beats a poor model must not cost it a word about a good baseline.
        families = [[one.name for one in family] for family in (controls, single)]
        verdicts = {metric: _verdicts(found, families, metric) for metric, found in differences.items()}
        on_quality, differing = verdicts.pop(VERDICT_ON), differences.pop(VERDICT_ON)
        everyone = {result.name: judged, ensemble.name: ensemble_judged, **judged_others}
        if baselines:
            everyone["oracle"] = judge_contestant(oracle_of(field), field, draws)
        self._keep(split, prompt_ids, field, result, ensemble, everyone)
        return RouterEvaluation(
            split=split,
            prompts=len(prompt_ids),
            models=list(field.models),
            result=judged.metrics,
            ensemble=ensemble_judged.metrics,
            controls={name: one.metrics for name, one in judged_others.items()},
            verdicts=on_quality,
            differences=differing,
            other_differences=_by_control(differences, judged_others),
            other_verdicts=_by_control(verdicts, judged_others),
            leaderboard=_leaderboard(everyone, on_quality),
            calibration=list(reliability(ensemble.success[0], field.quality)),
            curves={name: one.curve for name, one in everyone.items() if one.curve},
            shares=field.shares,
        )

    def _keep(
        self,
        split: str,
        prompt_ids: Sequence[str],
        field: Field,
        result: Contestant,
        ensemble: Contestant,
        everyone: Mapping[str, Judgement],
    ) -> None:
        """The ensemble's scores of each prompt, and what each contestant's choice was worth."""
        columns: dict[str, NDArray[np.float64] | Sequence[str]] = {"prompt_id": prompt_ids}
        for column, model in enumerate(field.models):
            columns[f"score {model}"] = ensemble.scores[0][:, column].astype(np.float64)
            columns[f"success {model}"] = ensemble.success[0][:, column].astype(np.float64)
            columns[f"quality {model}"] = field.quality[:, column]
        for name, judged in everyone.items():
            columns[f"chosen quality {name}"] = judged.by_prompt
        self.runs.write_table(f"scores/{split}/routers.parquet", columns)


def _judge_router(one: Contestant, field: Field, draws: int, split: str) -> Judgement:
    judged = judge_contestant(one, field, draws)
    if VERDICT_ON not in judged.metrics:
        raise UsageError(
            f"{split}: of no prompt is it known how good the answer of the chosen model is; give answers of "
            f"{', '.join(field.models)} to the same prompts"
        )
    return judged


def _judge_controls(
    controls: Sequence[Contestant], field: Field, draws: int, split: str
) -> dict[str, Judgement]:
    found = {}
    for one in controls:
        judged = judge_contestant(one, field, draws)
        if VERDICT_ON in judged.metrics:
            found[one.name] = judged
        else:
            logger.warning("%s: left out, as no answer that it chose is known in %s", one.name, split)
    return found


def _verdicts(
    differences: Mapping[str, Difference], families: Sequence[Sequence[str]], metric: str
) -> dict[str, Verdict]:
    """What may be said of the router against each control on a metric, corrected by Holm in each family."""
    found: dict[str, Verdict] = {}
    for family in families:
        known = {name: differences[name] for name in family if name in differences}
        adjusted = holm({name: one.p_value for name, one in known.items()})
        for name, one in known.items():
            gain = one.interval
            if metric in LESS_IS_BETTER:
                gain = Interval(-gain.high, -gain.low)
            found[name] = verdict(gain, adjusted[name])
    return found


def _by_control(
    found: Mapping[str, Mapping[str, Value]], controls: Iterable[str]
) -> dict[str, dict[str, Value]]:
    """By control and metric what is given by metric and control."""
    return {name: {metric: each[name] for metric, each in found.items() if name in each} for name in controls}


def _compare(first: Judgement, second: Judgement, metric: str) -> Difference:
    one, other = first.replicates[metric], second.replicates[metric]
    # A draw of prompts may hold none on which answers differ.
    known = np.isfinite(one) & np.isfinite(other)
    return paired_difference(
        one[known],
        other[known],
        first.metrics[metric].mean,
        second.metrics[metric].mean,
        differing_units(np.nan_to_num(first.by_prompt), np.nan_to_num(second.by_prompt)),
    )


def _leaderboard(everyone: Mapping[str, Judgement], verdicts: Mapping[str, Verdict]) -> list[RouterRow]:
    costs = [one.cost for one in everyone.values()]
    qualities = np.array([one.metrics[VERDICT_ON].mean for one in everyone.values()])
    known = np.array([cost is not None for cost in costs])
    front = np.zeros(len(costs), dtype=np.bool_)
    # The oracle knows the answers: nothing that can be bought is compared with it.
    places = np.flatnonzero(known & np.array([name != "oracle" for name in everyone]))
    if len(places):
        front[places] = pareto_front(
            np.array([costs[place] for place in places], dtype=float), qualities[places]
        )
    rows = [
        RouterRow(name, one.metrics, one.cost, bool(front[place]), verdicts.get(name, ""))
        for place, (name, one) in enumerate(everyone.items())
    ]
    return sorted(rows, key=lambda row: -row.metrics[VERDICT_ON].mean)

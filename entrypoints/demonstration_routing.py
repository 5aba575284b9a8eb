"""The demo's second half: a router between classifiers that were just trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from fusionapp.application.services.evaluate_router import RouterRow
from fusionapp.application.services.route_prompts import Routed, Wish
from fusionapp.domain.errors import UsageError
from fusionapp.domain.routing.policy import Policy
from fusionapp.entrypoints.experiment.structure import structure_any
from fusionapp.entrypoints.routing.api import evaluate, train
from fusionapp.entrypoints.routing.routing import load_router
from fusionapp.entrypoints.routing.schema import RoutingExperiment
from fusionapp.entrypoints.score_export import export_scores

GOOD_ENOUGH = 0.5
"""Foretold success at which the cheaper model is taken."""


@attrs.frozen
class RoutingDemonstration:
    """What a router between classifiers found.

    Attributes:
        leaderboard: the ensemble, every single classifier and the oracle, by quality: the share that is right.
        routed: a few new texts, each to the cheapest classifier that is good enough.
        run: the router's run directory.
    """

    leaderboard: Sequence[RouterRow]
    routed: Sequence[Routed]
    run: str


def demonstrate_routing(
    costs: Mapping[str, float], runs: str, storage_root: str, texts: Sequence[str], quiet: bool
) -> RoutingDemonstration:
    """Route between evaluated runs.

    Args:
        costs: USD a text, by the name of a run under `runs`.
        runs: directory of run directories.
        storage_root: where embeddings are kept.
        texts: to be routed in the end.
        quiet: show no progress bars.

    Raises:
        FusionAppError: see `fusionapp.domain.errors`.
    """
    scores = Path(runs) / "demo-router-scores.jsonl"
    export_scores([Path(runs) / name for name in costs], scores, costs=costs)
    experiment = _experiment(scores, storage_root)
    try:
        train(experiment, runs=runs, quiet=quiet)
    except UsageError:  # its classifiers were trained anew since the last demo
        train(experiment, runs=runs, overwrite=True, quiet=quiet)
    evaluation = evaluate(experiment, runs=runs, quiet=quiet)
    shown = ("ensemble of seeds", "oracle", "best single", *(f"always {name}" for name in costs))
    run = Path(runs) / experiment.name
    router = load_router(run)
    return RoutingDemonstration(
        [row for row in evaluation.leaderboard if row.name in shown],
        router.route(texts, Wish(Policy(min_quality=GOOD_ENOUGH))),
        str(run),
    )


def _experiment(scores: Path, storage_root: str) -> RoutingExperiment:
    content: dict[str, Any] = {
        "name": "demo-router",
        "task": {"kind": "route"},
        "dataset": {"train": str(scores), "id": ["id"], "drop_duplicates": True},
        "encoders": {"minilm": {"model": "minilm"}},
        "storage": {"root": storage_root},
        "train": {"seeds": 2},
        "evaluate": {"draws": 1000},
    }
    experiment = structure_any(content)
    assert isinstance(experiment, RoutingExperiment)
    return experiment

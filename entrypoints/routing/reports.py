"""Results of routing as JSON, as tables for people, and as Markdown and CSV for papers."""

from __future__ import annotations

from collections.abc import Mapping
from math import isnan
from typing import Any

import attrs

from fusionapp.application.ports.run_store import RunStore
from fusionapp.application.services.evaluate_router import RouterEvaluation, RouterRow
from fusionapp.application.services.train_router import RouterTraining
from fusionapp.domain.scores import Summary
from fusionapp.domain.statistics.verdict import Verdict
from fusionapp.entrypoints.leaderboards import kept_metrics, markdown_table
from fusionapp.entrypoints.reports import metrics_json

COLUMNS = (
    "router",
    "quality",
    "95 % interval",
    "gap to oracle",
    "pairwise accuracy",
    "AIQ",
    "APGR",
    "CPT@50",
    "CPT@80",
    "ECE",
    "USD / 1,000",
    "Pareto",
    "the router is",
)
_METRICS = ("gap_to_oracle", "pairwise_accuracy", "aiq", "apgr", "cpt@50", "cpt@80", "ece")

VERDICT_COLUMNS = ("the router against", *(COLUMNS[4:10]))
_OTHERS = _METRICS[1:]

UNTUNED = "untuned encoder"
"""The name in tables of routers over the encoder as it was."""

READING = (
    "Mean ± standard deviation over seeds; 95 % intervals by paired bootstrap over the prompts, which are not "
    "corrected; verdicts on quality, and on each other metric by itself, after Holm's correction. Quality is that "
    "of the chosen model's answer. APGR and CPT go from the cheapest model (without prices the worst on train) to "
    "the one that is best on train. Pareto: nothing else is as cheap and as good."
)

READING_SHARES = (
    "Of these prompts battles alone are known: quality is the share of its battles on a prompt that the chosen "
    "model won, ties counting half, over the prompts on which it fought. It ranks routers and says nothing of how "
    "good answers are. Pairwise accuracy counts those battles, each as often as it was fought."
)

READING_TUNED = (
    "One encoder was tuned, by the first seed, and serves the routers of all seeds: their deviation does not hold "
    f"tuning's own. {UNTUNED!r} is the same routers over the encoder as it was."
)


def reading(evaluation: RouterEvaluation) -> str:
    """How the leaderboard is to be read."""
    said = [READING]
    if evaluation.shares:
        said.append(READING_SHARES)
    if UNTUNED in evaluation.controls:
        said.append(READING_TUNED)
    return " ".join(said)


def training_json(training: RouterTraining) -> dict[str, Any]:
    """The object of `train --json`."""
    return {
        "models": [
            {
                "directory": router.directory,
                "seed": router.seed,
                "best_epoch": router.best_epoch,
                "epochs": router.epochs,
                "parameters": router.parameters,
                "validation": dict(router.validation),
            }
            for router in training.routers
        ],
        "seconds": training.seconds,
        "reused": training.reused,
        **({} if training.tuning is None else {"tuning": dict(training.tuning)}),
        **({} if training.balance is None else {"balance": dict(training.balance)}),
    }


def balance_rows(weighed: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Of each model its comparisons, its share of them, and its share as battles are drawn; the rarest first."""
    models = sorted(weighed["models"].items(), key=lambda named: named[1]["comparisons"])
    return [
        (name, f"{one['comparisons']:,}", f"{one['share']:.1%}", f"{one['weighed_share']:.1%}")
        for name, one in models
    ]


def tuning_sentence(tuning: Mapping[str, Any]) -> str:
    """What tuning came to, for people."""
    one = tuning["preflight"]
    numbers = f"{one['trainable']:,} of {one['parameters']:,} numbers"
    trained = f"{tuning['encoder']}: {one['method']} trained {numbers}; "
    if "validation" not in tuning:
        return f"{trained}no step of {tuning['steps']} improved on the untuned encoder, which stays"
    scores = tuning["validation"]
    stays = "is kept" if tuning["kept"] else "is left aside, and the untuned encoder stays"
    return (
        f"{trained}mean validation quality of routers {scores['tuned']:.4f}, untuned {scores['untuned']:.4f}; "
        f"step {tuning['best_step']} of {tuning['steps']} {stays}"
    )


def evaluation_json(evaluation: RouterEvaluation) -> dict[str, Any]:
    """The object of `evaluate --json`."""
    return {
        "task": "route",
        "split": evaluation.split,
        "prompts": evaluation.prompts,
        "models": list(evaluation.models),
        "result": metrics_json(evaluation.result),
        "ensemble": metrics_json(evaluation.ensemble),
        "controls": {name: metrics_json(metrics) for name, metrics in evaluation.controls.items()},
        "verdicts": dict(evaluation.verdicts),
        "differences": {name: attrs.asdict(one) for name, one in evaluation.differences.items()},
        "other_differences": {
            name: {metric: attrs.asdict(one) for metric, one in found.items()}
            for name, found in evaluation.other_differences.items()
        },
        "other_verdicts": {name: dict(found) for name, found in evaluation.other_verdicts.items()},
        "leaderboard": [
            {**attrs.asdict(row, recurse=False), "metrics": metrics_json(row.metrics)}
            for row in evaluation.leaderboard
        ],
        "calibration": [_without_nan(attrs.asdict(one)) for one in evaluation.calibration],
        "curves": {name: [list(point) for point in curve] for name, curve in evaluation.curves.items()},
        "shares": evaluation.shares,
    }


def write_evaluation(runs: RunStore, evaluation: RouterEvaluation, basis: str) -> None:
    """Keep an evaluation as ``metrics-SPLIT.json``, with a fingerprint of what it depends on."""
    runs.write_document(f"metrics-{evaluation.split}.json", {"basis": basis, **evaluation_json(evaluation)})


def read_evaluation(runs: RunStore, split: str, basis: str) -> RouterEvaluation | None:
    """The evaluation that was kept, or None where there is none or it depends on something else."""
    from cattrs import Converter

    document = kept_metrics(runs, split, basis)
    if document is None:
        return None
    for one in document["calibration"]:
        one.update({key: float("nan") for key, value in one.items() if value is None})
    converter = Converter()
    converter.register_structure_hook(Verdict | str, lambda value, _: value)
    return converter.structure(document, RouterEvaluation)


def _without_nan(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: None if isinstance(value, float) and isnan(value) else value for key, value in values.items()
    }


def leaderboard_rows(evaluation: RouterEvaluation) -> list[tuple[str, ...]]:
    """Cells in the order of `COLUMNS`."""
    return [_cells(row) for row in evaluation.leaderboard]


def verdict_rows(evaluation: RouterEvaluation) -> list[tuple[str, ...]]:
    """Cells in the order of `VERDICT_COLUMNS`: verdicts on what stands beside quality, by control that has any."""
    return [
        (name, *(found.get(metric, "") for metric in _OTHERS))
        for name, found in evaluation.other_verdicts.items()
        if found
    ]


def _cells(row: RouterRow) -> tuple[str, ...]:
    quality = row.metrics["quality"]
    return (
        row.name,
        _mean(quality),
        f"[{quality.low:.4f}, {quality.high:.4f}]",
        *(f"{row.metrics[name].mean:.4f}" if name in row.metrics else "" for name in _METRICS),
        "" if row.cost is None else f"{1000 * row.cost:.4f}",
        "yes" if row.on_front else "",
        row.verdict,
    )


def _mean(summary: Summary) -> str:
    return f"{summary.mean:.4f}" + (f" ± {summary.sd:.4f}" if summary.sd else "")


def leaderboard_markdown(evaluation: RouterEvaluation) -> str:
    """The leaderboard and the reliability table as Markdown, and how to read them."""
    lines = markdown_table(COLUMNS, leaderboard_rows(evaluation))
    if others := verdict_rows(evaluation):
        lines += ["", *markdown_table(VERDICT_COLUMNS, others)]
    lines += [
        "",
        reading(evaluation),
        "",
        "| foretold success | answers | mean foretold | mean quality |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {one.low:.2f} to {one.high:.2f} | {one.answers:,} | {one.predicted:.4f} | {one.quality:.4f} |"
        for one in evaluation.calibration
        if one.answers
    ]
    return "\n".join(lines) + "\n"

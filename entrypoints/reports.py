"""Results as the JSON that scripts rely on, as tables for people, and as Markdown and CSV for papers."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from fusionapp.application.ports.run_store import RunStore
from fusionapp.application.services.compare_runs import Comparison
from fusionapp.application.services.evaluate_classifier import Evaluation, LeaderboardRow
from fusionapp.application.services.extracted_sets import Effort, ExtractedSet
from fusionapp.application.services.report_status import ExtractionStatus
from fusionapp.application.services.train_classifier import Training
from fusionapp.domain.scores import Summary
from fusionapp.domain.splitting import SharedTexts
from fusionapp.domain.statistics.verdict import Verdict

LEADERBOARD = (
    "model",
    "validation",
    "accuracy",
    "95 % interval",
    "macro F1",
    "weighted F1",
    "ECE",
    "result is",
    "seconds",
    "parameters",
)


READING = (
    "Mean ± standard deviation over seeds; 95 % intervals by paired bootstrap over the texts, verdicts on "
    "accuracy after Holm's correction. Seeds draw their own initialisation, dropout and order of rows; they "
    "share the embeddings (a tuned encoder, too, is one for all of them), the rows of each split, the TF-IDF of "
    "a sparse source and the linear path, if any."
)
"""What a leaderboard's numbers mean, and what the seeds have in common."""

UNCORRECTED = (
    "The intervals are not corrected by Holm, the verdicts are: a control may look apart by its interval and "
    "still be not separable."
)
"""Why an interval and a verdict may seem to disagree; said under every leaderboard."""

READING_FOLDS = (
    "Over {folds} folds: each of {pool_rows:,} texts of {pool} is scored once, by heads that did not see it. "
    "Metrics of all predictions together ± standard deviation over folds; 95 % intervals by paired bootstrap "
    "over the texts, verdicts on accuracy after Holm's correction. Folds share training texts, which widens no "
    "interval."
)
READING_DRAWS = (
    "Over {draws} draws of {shots} texts a class from {pool}, some of them for choosing: mean ± standard "
    "deviation over draws; 95 % intervals by paired bootstrap over draws and texts at once, verdicts on accuracy "
    "after Holm's correction. Contenders share every draw."
)


def reading(evaluation: Evaluation) -> str:
    """What an evaluation's numbers mean."""
    if evaluation.protocol is None:
        return f"{READING} {UNCORRECTED}"
    template = READING_FOLDS if evaluation.protocol["kind"] == "folds" else READING_DRAWS
    return f"{template.format_map(evaluation.protocol)} {UNCORRECTED}"


def status_json(
    status: ExtractionStatus,
    sets: Mapping[str, Sequence[ExtractedSet]] | None = None,
    shared: SharedTexts | None = None,
) -> dict[str, Any]:
    """The object of `status --json` and, with the sets just made and the texts they share, of `extract --json`."""
    encoders: dict[str, dict[str, Any]] = {}
    for name, one in status.encoders.items():
        encoders[name] = {
            "directory": _common_directory(list(one.directories.values())),
            "directories": dict(one.directories),
            "dim": one.dim,
            "layers": one.layers,
            "sparse": one.sparse,
            "rows": one.rows,
            "durable_rows": one.durable_rows,
            "truncated": one.truncated,
            "complete": one.complete,
        }
        if sets is not None and name in sets:
            encoders[name] |= _speeds(sets[name])
    report = {
        "rows": status.rows,
        "durable_rows": status.rows
        - max((one.rows - one.durable_rows for one in status.encoders.values()), default=status.rows),
        "quarantined": _quarantined(status),
        "truncated": sum(one.truncated for one in status.encoders.values()),
        "complete": status.complete,
        "encoders": encoders,
    }
    if shared is not None:
        counts = shared.counts.items()
        report["shared_texts"] = [{"splits": list(pair), "texts": count} for pair, count in counts]
    return report


def _common_directory(directories: Sequence[str]) -> str:
    return directories[0] if len(directories) == 1 else os.path.commonpath(directories)


def _speeds(sets: Sequence[ExtractedSet]) -> dict[str, Any]:
    effort = sum((one.effort for one in sets), Effort())
    seconds, tokens = effort.seconds, effort.tokens
    return {
        "encoded_rows": effort.rows,
        "encoded_texts": effort.texts,
        "seconds": seconds,
        "texts_per_second": effort.rows / seconds if seconds else None,
        "texts_per_minute": 60 * effort.rows / seconds if seconds else None,
        "tokens_per_second": tokens / seconds if seconds else None,
        "padding_ratio": effort.padded_tokens / tokens if tokens else None,
        "bottleneck": effort.bottleneck if seconds else None,
        "peak_device_bytes": effort.peak_device_bytes or None,
    }


def _quarantined(status: ExtractionStatus) -> list[dict[str, Any]]:
    return [
        {"encoder": name, "split": split, "row": one.row, "reason": one.reason}
        for name, encoder in status.encoders.items()
        for split, rows in encoder.quarantined.items()
        for one in rows
    ]


def training_json(training: Training) -> dict[str, Any]:
    """The object of `train --json`; ``linear_path`` stands there where the heads add to a single one."""
    return {
        "models": [
            {
                "directory": head.directory,
                "seed": head.seed,
                "best_epoch": head.best_epoch,
                "epochs": head.epochs,
                "parameters": head.parameters,
                "validation": dict(head.validation),
            }
            for head in training.heads
        ],
        "seconds": training.seconds,
        "reused": training.reused,
        **({} if training.path is None else {"linear_path": attrs.asdict(training.path)}),
    }


def evaluation_json(evaluation: Evaluation) -> dict[str, Any]:
    """The object of `evaluate --json`; ``protocol`` stands there for k-fold and few-shot runs alone."""
    return {
        "task": "classify",
        "split": evaluation.split,
        "rows": evaluation.rows,
        "left_out": evaluation.left_out,
        "result": metrics_json(evaluation.result),
        "ensemble": metrics_json(evaluation.ensemble),
        "controls": {name: metrics_json(metrics) for name, metrics in evaluation.controls.items()},
        "verdicts": dict(evaluation.verdicts),
        "differences": {name: attrs.asdict(one) for name, one in evaluation.differences.items()},
        "leaderboard": [
            {**attrs.asdict(row, recurse=False), "metrics": metrics_json(row.metrics)}
            for row in evaluation.leaderboard
        ],
        **({"protocol": dict(evaluation.protocol)} if evaluation.protocol is not None else {}),
    }


def write_evaluation(runs: RunStore, evaluation: Evaluation, basis: str) -> None:
    """Keep an evaluation as ``metrics-SPLIT.json``, with a fingerprint of what it depends on."""
    document = {"basis": basis, **evaluation_json(evaluation)}
    runs.write_document(f"metrics-{evaluation.split}.json", document)


def read_evaluation(runs: RunStore, split: str, basis: str) -> Evaluation | None:
    """The evaluation that was kept, or None where there is none or it depends on something else."""
    from cattrs import Converter

    document = runs.read_document(f"metrics-{split}.json")
    if document is None or document.pop("basis", None) != basis:
        return None
    converter = Converter()
    converter.register_structure_hook(Verdict | str, lambda value, _: value)
    return converter.structure(document, Evaluation)


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """The object of `compare --json`."""
    return attrs.asdict(comparison)


def metrics_json(metrics: Mapping[str, Summary]) -> dict[str, dict[str, float]]:
    """Metrics by name as mean, sd, low and high."""
    return {name: attrs.asdict(summary) for name, summary in metrics.items()}


def leaderboard_rows(evaluation: Evaluation) -> list[tuple[str, ...]]:
    """Cells in the order of `LEADERBOARD`."""
    return [_cells(row) for row in evaluation.leaderboard]


def _cells(row: LeaderboardRow) -> tuple[str, ...]:
    accuracy = row.metrics["accuracy"]
    validation = "" if row.validation is None else f"{row.validation:.4f}"
    return (
        f"{row.name} ({row.note})" if row.note else row.name,
        validation + (f" ± {row.validation_sd:.4f}" if row.validation_sd else ""),
        f"{accuracy.mean:.4f}" + (f" ± {accuracy.sd:.4f}" if accuracy.sd else ""),
        f"[{accuracy.low:.4f}, {accuracy.high:.4f}]",
        f"{row.metrics['macro_f1'].mean:.4f}",
        f"{row.metrics['weighted_f1'].mean:.4f}",
        f"{row.metrics['ece'].mean:.4f}" if "ece" in row.metrics else "",
        row.verdict,
        f"{row.seconds:.1f}" if row.seconds else "",
        f"{row.parameters:,}" if row.parameters else "",
    )


def leaderboard_markdown(evaluation: Evaluation) -> str:
    """The leaderboard as a Markdown table, and how to read it."""
    lines = ["| " + " | ".join(cells) + " |" for cells in (LEADERBOARD, *leaderboard_rows(evaluation))]
    lines.insert(1, "|" + "---|" * len(LEADERBOARD))
    return "\n".join(lines) + f"\n\n{reading(evaluation)}\n"


def leaderboard_csv(evaluation: Evaluation) -> str:
    """The leaderboard with full digits, one metric's mean, sd, low and high a column."""
    rows = []
    for row in evaluation.leaderboard:
        flat = {key: value for key, value in attrs.asdict(row, recurse=False).items() if key != "metrics"}
        for name, summary in row.metrics.items():
            flat |= {f"{name}_{part}": value for part, value in attrs.asdict(summary).items()}
        rows.append(flat)
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(dict.fromkeys(key for row in rows for key in row)))
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()

"""Results of retrieval as JSON, as tables for people, and as Markdown and CSV for papers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from fusionapp.application.ports.run_store import RunStore
from fusionapp.application.services.evaluate_retrieval import (
    VERDICT_ON,
    RetrievalEvaluation,
    RetrievalRow,
)
from fusionapp.application.services.tuned_rounds import Tuning
from fusionapp.domain.scores import Summary
from fusionapp.domain.statistics.verdict import Verdict
from fusionapp.entrypoints.leaderboards import kept_metrics, markdown_table
from fusionapp.entrypoints.reports import metrics_json

READING = (
    "Mean ± standard deviation over seeds; 95 % intervals by paired bootstrap over the queries, which are not "
    "corrected; verdicts on MRR@10 after Holm's correction. "
)
CHOSEN = "The rows stand in the order of validation, where hybrids chose their partner and its weight."
UNCHOSEN = (
    "There is no validation split, so nothing was chosen: hybrids go by reciprocal ranks with BM25, and the rows "
    "stand in a fixed order."
)


def tuning_json(tuning: Tuning) -> dict[str, Any]:
    """The object of `train --json`."""
    return {
        "models": [
            {
                "directory": rounds[-1].encoder.directory,
                "seed": seed,
                "validation": dict(rounds[-1].encoder.validation),
                "untuned": dict(rounds[0].encoder.untuned),
                "best_step": rounds[-1].encoder.best_step,
                "steps": rounds[-1].encoder.steps,
                "pairs_per_second": rounds[-1].encoder.pairs_per_second,
                "peak_memory_bytes": rounds[-1].encoder.peak_memory_bytes,
                "drawn": dict(rounds[-1].encoder.drawn),
                "preflight": attrs.asdict(rounds[-1].encoder.preflight),
                "rounds": [
                    {
                        "validation": dict(one.encoder.validation),
                        "seconds": one.encoder.seconds,
                        "mined": None if one.mined is None else one.mined.summary(),
                    }
                    for one in rounds
                ],
            }
            for seed, rounds in tuning.seeds.items()
        ],
        "seconds": tuning.seconds,
        "reused": tuning.reused,
    }


def reading(evaluation: RetrievalEvaluation) -> str:
    """How to read a leaderboard."""
    return READING + (CHOSEN if evaluation.chosen else UNCHOSEN)


def evaluation_json(evaluation: RetrievalEvaluation) -> dict[str, Any]:
    """The object of `evaluate --json`."""
    found: dict[str, Any] = {
        "task": "retrieve",
        "split": evaluation.split,
        "queries": evaluation.queries,
        "documents": evaluation.documents,
        "contender": evaluation.contender,
        "result": metrics_json(evaluation.result),
        "controls": {name: metrics_json(metrics) for name, metrics in evaluation.controls.items()},
        "verdicts": dict(evaluation.verdicts),
        "differences": {name: attrs.asdict(one) for name, one in evaluation.differences.items()},
        "hybrid": None if evaluation.hybrid is None else metrics_json(evaluation.hybrid),
        "hybrid_verdicts": dict(evaluation.hybrid_verdicts),
        "hybrid_differences": {
            name: attrs.asdict(one) for name, one in evaluation.hybrid_differences.items()
        },
        "leaderboard": [
            {**attrs.asdict(row, recurse=False), "metrics": metrics_json(row.metrics)}
            for row in evaluation.leaderboard
        ],
        "skipped": dict(evaluation.skipped),
        "vectors": [dict(row) for row in evaluation.vectors],
    }
    return found


def write_evaluation(runs: RunStore, evaluation: RetrievalEvaluation, basis: str) -> None:
    """Keep an evaluation as ``metrics-SPLIT.json``, with a fingerprint of what it depends on."""
    document = {"basis": basis, **evaluation_json(evaluation)}
    runs.write_document(f"metrics-{evaluation.split}.json", document)


def read_evaluation(runs: RunStore, split: str, basis: str) -> RetrievalEvaluation | None:
    """The evaluation that was kept, or None where there is none or it depends on something else."""
    from cattrs import Converter

    document = kept_metrics(runs, split, basis)
    if document is None:
        return None
    converter = Converter()
    converter.register_structure_hook(Verdict | str, lambda value, _: value)
    return converter.structure(document, RetrievalEvaluation)


def leaderboard_columns(evaluation: RetrievalEvaluation) -> list[str]:
    """Headings of a leaderboard, by the metrics that there are."""
    metrics = [name for name in evaluation.result if name != VERDICT_ON]
    return [
        "ranked by",
        f"validation {VERDICT_ON}",
        VERDICT_ON,
        "95 % interval",
        *metrics,
        f"{evaluation.contender} is",
        "seconds",
    ]


def leaderboard_rows(evaluation: RetrievalEvaluation) -> list[tuple[str, ...]]:
    """Cells in the order of `leaderboard_columns`; contenders that were left out stand last."""
    rows = [_cells(row) for row in evaluation.leaderboard]
    width = len(leaderboard_columns(evaluation))
    return rows + [(name, reason, *[""] * (width - 2)) for name, reason in evaluation.skipped.items()]


def _cells(row: RetrievalRow) -> tuple[str, ...]:
    main = row.metrics[VERDICT_ON]
    rest: Mapping[str, Summary] = {name: one for name, one in row.metrics.items() if name != VERDICT_ON}
    return (
        f"{row.name} ({row.note})" if row.note else row.name,
        "" if row.validation is None else f"{row.validation:.4f}",
        f"{main.mean:.4f}" + (f" ± {main.sd:.4f}" if main.sd else ""),
        f"[{main.low:.4f}, {main.high:.4f}]",
        *(f"{one.mean:.4f}" for one in rest.values()),
        row.verdict,
        f"{row.seconds:.1f}",
    )


def leaderboard_markdown(evaluation: RetrievalEvaluation) -> str:
    """The leaderboard as a Markdown table, and how to read it."""
    columns = leaderboard_columns(evaluation)
    lines = markdown_table(columns, leaderboard_rows(evaluation))
    return "\n".join(lines) + f"\n\n{reading(evaluation)}\n"

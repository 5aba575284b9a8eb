"""A sweep's leaderboard: for machines, for people, for papers."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np

from fusionapp.application.ports.run_store import Column, RunStore
from fusionapp.application.services.rank_cells import BoardRow, Comparison
from fusionapp.entrypoints.reports import metrics_json

COLUMNS = (
    "rank",
    "cell",
    "validation",
    "accuracy",
    "95 % interval",
    "ensemble",
    "against best single",
    "against linear SVM",
    "seconds",
    "parameters",
)

READING = (
    "Ranked by validation accuracy within a dataset; accuracy, intervals and verdicts are of the test split, "
    "which each cell scored once. Mean ± standard deviation over seeds; 95 % intervals by paired bootstrap over "
    "the texts; verdicts after Holm's correction over every comparison of the board, which the intervals do "
    "without. The best single source is the one that does best on validation, by any of the training settings; "
    "the linear SVM is over the cell's own embeddings."
)
"""What a board's numbers mean."""

CONTROLS = {"single": "best_single", "svm": "linear_svm"}
"""Prefixes of flat columns, and the rows' attributes that they hold."""


@attrs.frozen
class Board:
    """What a sweep found.

    Attributes:
        name: of the sweep.
        directory: of its cells and leaderboards.
        rows: by dataset and rank; what failed comes last.
        code: exit code of the first cell that failed; 0 where none did.
    """

    name: str
    directory: str
    rows: Sequence[BoardRow]
    code: int = 0

    @property
    def failed(self) -> list[BoardRow]:
        """The cells that failed."""
        return [row for row in self.rows if row.entrant.error]


def write_board(runs: RunStore, board: Board) -> None:
    """Keep a board as leaderboard.json, .csv, .parquet and .md."""
    runs.write_document("leaderboard.json", board_json(board))
    runs.write_text("leaderboard.csv", board_csv(board))
    runs.write_table("leaderboard.parquet", board_columns(board))
    runs.write_text("leaderboard.md", board_markdown(board))


def board_json(board: Board) -> dict[str, Any]:
    """The object of `sweep --json`."""
    return {
        "name": board.name,
        "directory": board.directory,
        "split": "test",
        "ranked_by": "validation accuracy",
        "failed": len(board.failed),
        "cells": [
            {
                "rank": row.rank,
                **attrs.asdict(row.entrant, recurse=False),
                "encoders": list(row.entrant.encoders),
                "metrics": metrics_json(row.entrant.metrics),
                "ensemble": metrics_json(row.entrant.ensemble),
                "best_single": _comparison_json(row.best_single),
                "linear_svm": _comparison_json(row.linear_svm),
            }
            for row in board.rows
        ],
    }


def _comparison_json(comparison: Comparison | None) -> dict[str, Any] | None:
    return None if comparison is None else attrs.asdict(comparison)


def board_rows(rows: Sequence[BoardRow]) -> list[tuple[str, ...]]:
    """Cells of the table in the order of `COLUMNS`; rows that failed are left out."""
    return [_cells(row) for row in rows if not row.entrant.error]


def _cells(row: BoardRow) -> tuple[str, ...]:
    one = row.entrant
    accuracy = one.metrics["accuracy"]
    said = ", ".join(part for part in ("" if one.role == "cell" else "control", one.note) if part)
    return (
        str(row.rank),
        f"{one.name} ({said})" if said else one.name,
        f"{one.validation:.4f}" + (f" ± {one.validation_sd:.4f}" if one.validation_sd else ""),
        f"{accuracy.mean:.4f}" + (f" ± {accuracy.sd:.4f}" if accuracy.sd else ""),
        f"[{accuracy.low:.4f}, {accuracy.high:.4f}]",
        f"{one.ensemble['accuracy'].mean:.4f}" if one.ensemble else "",
        _said(row.best_single),
        _said(row.linear_svm),
        f"{one.seconds:.1f}",
        f"{one.parameters:,}" if one.parameters else "",
    )


def _said(comparison: Comparison | None) -> str:
    return "" if comparison is None else f"{comparison.verdict} ({comparison.difference.estimate:+.4f})"


def datasets(board: Board) -> dict[str, list[BoardRow]]:
    """The rows by dataset."""
    names = dict.fromkeys(row.entrant.dataset for row in board.rows)
    return {name: [row for row in board.rows if row.entrant.dataset == name] for name in names}


def board_markdown(board: Board) -> str:
    """A Markdown table for each dataset, what failed, and how to read it."""
    lines = [f"# {board.name}", ""]
    for dataset, rows in datasets(board).items():
        table = ["| " + " | ".join(cells) + " |" for cells in (COLUMNS, *board_rows(rows))]
        lines += [f"## {dataset}", "", table[0], "|" + "---|" * len(COLUMNS), *table[1:], ""]
    if board.failed:
        lines += [
            "## Failed",
            "",
            *(f"- {row.entrant.name}: {_line(row.entrant.error)}" for row in board.failed),
            "",
        ]
    return "\n".join([*lines, READING, ""])


def _line(text: str) -> str:
    return " ".join(text.split())


def board_csv(board: Board) -> str:
    """Every number with full digits, a row a cell; the columns are those of leaderboard.parquet."""
    flat = [_flat(row) for row in board.rows]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(dict.fromkeys(key for row in flat for key in row)))
    writer.writeheader()
    writer.writerows(flat)
    return buffer.getvalue()


def board_columns(board: Board) -> dict[str, Column]:
    """The same as columns: text, and float64 with NaN where there is no number."""
    flat = [_flat(row) for row in board.rows]
    columns: dict[str, Column] = {}
    for key in dict.fromkeys(key for row in flat for key in row):
        values = [row.get(key) for row in flat]
        if any(isinstance(value, str) for value in values):
            columns[key] = values
        else:
            columns[key] = np.array(
                [np.nan if value is None else value for value in values], dtype=np.float64
            )
    return columns


def _flat(row: BoardRow) -> dict[str, Any]:
    one = row.entrant
    flat: dict[str, Any] = {"rank": row.rank, "name": one.name, "dataset": one.dataset}
    flat |= {"encoders": " + ".join(one.encoders), "fusion": one.fusion, "train": one.train, "role": one.role}
    flat |= {"validation": one.validation, "validation_sd": one.validation_sd}
    for prefix, metrics in (("", one.metrics), ("ensemble_", one.ensemble)):
        for name, summary in metrics.items():
            flat |= {f"{prefix}{name}_{part}": value for part, value in attrs.asdict(summary).items()}
    for prefix, attribute in CONTROLS.items():
        comparison: Comparison | None = getattr(row, attribute)
        if comparison is not None:
            flat |= {
                f"{prefix}_control": comparison.control,
                f"{prefix}_difference": comparison.difference.estimate,
                f"{prefix}_low": comparison.difference.interval.low,
                f"{prefix}_high": comparison.difference.interval.high,
                f"{prefix}_p_value": comparison.difference.p_value,
                f"{prefix}_adjusted_p": comparison.adjusted_p,
                f"{prefix}_verdict": comparison.verdict,
            }
    return flat | {
        "seconds": one.seconds,
        "parameters": one.parameters,
        "note": one.note,
        "error": one.error,
    }

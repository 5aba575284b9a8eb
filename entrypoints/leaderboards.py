"""What the leaderboards of all tasks have in common: Markdown, CSV, and finding what was judged before."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

import attrs

from fusionapp.application.ports.run_store import RunStore


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table."""
    lines = ["| " + " | ".join(cells) + " |" for cells in (columns, *rows)]
    lines.insert(1, "|" + "---|" * len(columns))
    return lines


def leaderboard_csv(leaderboard: Sequence[Any]) -> str:
    """A leaderboard with full digits, one metric's mean, sd, low and high a column.

    Args:
        leaderboard: attrs rows whose ``metrics`` are `Summary` by name.
    """
    rows = []
    for row in leaderboard:
        flat = {key: value for key, value in attrs.asdict(row, recurse=False).items() if key != "metrics"}
        for name, summary in row.metrics.items():
            flat |= {f"{name}_{part}": value for part, value in attrs.asdict(summary).items()}
        rows.append(flat)
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(dict.fromkeys(key for row in rows for key in row)))
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def kept_metrics(runs: RunStore, split: str, basis: str) -> Any | None:
    """``metrics-SPLIT.json`` without its basis; None where there is none, or it depends on another basis."""
    document = runs.read_document(f"metrics-{split}.json")
    return None if document is None or document.pop("basis", None) != basis else document

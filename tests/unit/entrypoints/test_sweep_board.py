"""What a board looks like, and how long a sweep says that it will take."""

from __future__ import annotations

import csv
import io
import math

import numpy as np
import pytest
from fakes.stores import MemoryRunStore

from fusionapp.application.services.rank_cells import BoardRow, Comparison, Entrant
from fusionapp.domain.scores import Summary
from fusionapp.domain.statistics.bootstrap import Difference, Interval
from fusionapp.entrypoints.sweep.board import (
    COLUMNS,
    Board,
    board_columns,
    board_csv,
    board_markdown,
    board_rows,
    write_board,
)
from fusionapp.entrypoints.sweep.running import time_left

METRICS = {"accuracy": Summary(0.62, 0.01, 0.6, 0.64)}
AGAINST = Comparison("a-concat", Difference(0.05, Interval(0.02, 0.08), 0.001), 0.004, "better")
CELL = Entrant(
    "a-b-sum",
    "r8",
    ("a", "b"),
    "sum",
    "",
    "cell",
    0.7,
    0.02,
    METRICS,
    METRICS,
    seconds=3.21,
    parameters=12_345,
)
SVM = Entrant(
    "a-b-linear_svm", "r8", ("a", "b"), "linear_svm", "", "linear_svm", 0.65, metrics=METRICS, note="C=1"
)
BROKEN = Entrant("a-b-moe", "r8", ("a", "b"), "moe", "", "cell", error="two\nlines, and a | bar")
BOARD = Board(
    "pairs",
    "runs/pairs",
    [BoardRow(1, CELL, AGAINST, None), BoardRow(2, SVM, None, None), BoardRow(None, BROKEN, None, None)],
    2,
)


def test_a_row_of_the_table_has_a_cell_for_every_column() -> None:
    rows = board_rows(BOARD.rows)
    assert [len(row) for row in rows] == [len(COLUMNS)] * 2
    assert dict(zip(COLUMNS, rows[0], strict=True)) == {
        "rank": "1",
        "cell": "a-b-sum",
        "validation": "0.7000 ± 0.0200",
        "accuracy": "0.6200 ± 0.0100",
        "95 % interval": "[0.6000, 0.6400]",
        "ensemble": "0.6200",
        "against best single": "better (+0.0500)",
        "against linear SVM": "",
        "seconds": "3.2",
        "parameters": "12,345",
    }
    assert rows[1][1] == "a-b-linear_svm (control, C=1)"


def test_markdown_tells_what_failed_on_one_line() -> None:
    shown = board_markdown(BOARD).splitlines()
    assert "- a-b-moe: two lines, and a | bar" in shown
    assert sum(line.startswith("| ") for line in shown) == 3


def test_csv_and_columns_hold_the_same_numbers() -> None:
    rows = list(csv.DictReader(io.StringIO(board_csv(BOARD))))
    columns = board_columns(BOARD)
    assert set(columns) == set(rows[0])
    for name, column in columns.items():
        for row, value in zip(rows, column, strict=True):
            if isinstance(column, np.ndarray):
                assert row[name] == "" if math.isnan(value) else float(row[name]) == value
            else:
                assert row[name] == (value or "")


def test_a_board_is_kept_in_four_formats() -> None:
    runs = MemoryRunStore()
    write_board(runs, BOARD)
    assert runs.documents() == ["leaderboard.json"]
    assert set(runs.texts) == {"leaderboard.csv", "leaderboard.md"}
    assert runs.read_table("leaderboard.parquet")["single_verdict"].tolist() == ["better", None, None]


@pytest.mark.parametrize(
    ("seconds", "unfinished", "said"),
    [
        ([], 5, ""),
        ([4.0], 0, ""),
        ([2.0, 90.0, 4.0], 3, "about 12 s left"),
        ([60.0], 10, "about 10 min left"),
        ([3600.0], 3, "about 3.0 h left"),
    ],
)
def test_time_left_is_told_by_the_usual_cell(seconds: list[float], unfinished: int, said: str) -> None:
    assert time_left(seconds, unfinished) == said

"""`fusionapp sweep`: every combination of encoder sets, fusions, datasets and training settings."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fusionapp.entrypoints.commands.options import is_quiet, json_option, overwrite_option, runs_option

if TYPE_CHECKING:
    from fusionapp.entrypoints.sweep.board import Board
    from fusionapp.entrypoints.sweep.cells import Cell


@click.command("sweep")
@click.argument("file", metavar="SWEEP", type=click.Path(path_type=Path))
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="Set any key of SWEEP.")
@click.option("--device", help="Device of encoders and training: auto, cpu, cuda:0.")
@click.option("--dry-run", is_flag=True, help="List the cells and run nothing.")
@runs_option
@overwrite_option
@json_option
def command(
    file: Path,
    sets: tuple[str, ...],
    device: str | None,
    dry_run: bool,
    runs: str,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Run every combination of the choices in SWEEP, and rank them by validation.

    SWEEP is an experiment file with a [sweep] table: `encoders` ("singles", "pairs", "all", or lists of names),
    `fusions` (kinds, or tables with options), [sweep.datasets.NAME] tables, and `train` (tables of settings).
    Each choice is laid over the experiment's own [fusion], [dataset] or [train].

    Cells are ordinary runs in RUNS/NAME/CELL. Each is held against the best single source of its set and against
    a tuned linear SVM, which are trained once. The same command goes on where it was killed.
    """
    from fusionapp.entrypoints.sweep.expansion import load_sweep
    from fusionapp.entrypoints.sweep.running import plan_sweep, run_sweep

    planned = load_sweep(file, sets, device)
    if dry_run:
        _print_plan(planned.name, plan_sweep(planned, runs), as_json)
        return
    board = run_sweep(planned, runs, overwrite, is_quiet(), _whisper if is_quiet() else _tell)
    _print_board(board, as_json)
    if board.code:
        sys.exit(board.code)


def _tell(line: str) -> None:
    click.echo(line, err=True)


def _whisper(_: str) -> None:
    """Nothing: the board says what failed."""


def _print_plan(name: str, plan: Sequence[tuple[Cell, bool]], as_json: bool) -> None:
    from fusionapp.entrypoints.output import print_json, print_table

    columns = ("cell", "dataset", "encoders", "fusion", "training", "role", "results")
    if as_json:
        keys = ("name", "dataset", "encoders", "fusion", "train", "role")
        cells = [{key: getattr(cell, key) for key in keys} | {"finished": done} for cell, done in plan]
        print_json({"name": name, "cells": cells})
        return
    print_table(
        columns,
        [
            (
                cell.name,
                cell.dataset,
                " + ".join(cell.encoders),
                cell.fusion,
                cell.train,
                "" if cell.role == "cell" else "control",
                "yes" if done else "",
            )
            for cell, done in plan
        ],
        f"{name}: {len(plan)} cells, {sum(not done for _, done in plan)} of them to run",
    )


def _print_board(board: Board, as_json: bool) -> None:
    from fusionapp.entrypoints.output import print_json, print_table
    from fusionapp.entrypoints.sweep.board import COLUMNS, READING, board_json, board_rows, datasets

    if as_json:
        print_json(board_json(board))
        return
    for dataset, rows in datasets(board).items():
        print_table(COLUMNS, board_rows(rows), f"{dataset}: ranked by validation accuracy", numbers_from=2)
    for row in board.failed:
        click.echo(f"failed: {row.entrant.name}: {row.entrant.error}")
    click.echo(READING)
    click.echo(f"{board.directory} holds the cells, and leaderboard.md, .csv, .parquet and .json")

"""Running a sweep: each cell an ordinary experiment in its own run directory, finished ones left as they are."""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter

import attrs

from fusionapp.application.services.guard_experiment import RESOLVED, GuardExperiment
from fusionapp.application.services.rank_cells import Entrant, RankCells, RightRows
from fusionapp.domain.errors import FusionAppError, UsageError
from fusionapp.entrypoints.exit_codes import exit_code
from fusionapp.entrypoints.experiment.load import Source
from fusionapp.entrypoints.experiment.structure import unstructure
from fusionapp.entrypoints.gateways import run_directory
from fusionapp.entrypoints.sweep.board import Board, write_board
from fusionapp.entrypoints.sweep.cell_runs import entrant, is_finished, run_cell
from fusionapp.entrypoints.sweep.cells import Cell
from fusionapp.entrypoints.sweep.expansion import Sweep, load_sweep

logger = logging.getLogger(__name__)

Tell = Callable[[str], None]


def sweep(
    source: Source,
    *,
    runs: str | os.PathLike[str] = "runs",
    overwrite: bool = False,
    quiet: bool = True,
) -> Board:
    """Run every cell of a sweep file or dict, and rank them; what an earlier call finished is not run again.

    Cells stand in ``RUNS/NAME/CELL``, ordinary runs of their own; leaderboards in ``RUNS/NAME``. A cell that
    fails is on the board with its error, and the others are run all the same.

    Args:
        source: a path or a dict: an experiment's tables and ``[sweep]``.
        runs: directory of run directories.
        overwrite: train cells again that were trained by other settings or on other data.
        quiet: show no progress.

    Raises:
        ConfigurationError: the sweep has problems.
        UsageError: cells were trained by other settings, and `overwrite` is not set.
        LockedError: another process runs the sweep.
    """
    return run_sweep(load_sweep(source), runs, overwrite, quiet, _silent)


def run_sweep(
    planned: Sweep, runs: str | os.PathLike[str], overwrite: bool, quiet: bool, tell: Tell
) -> Board:
    """The same for a sweep that was read before; `tell` hears of every cell."""
    directory = Path(runs) / planned.name
    if (directory / RESOLVED).exists():
        raise UsageError(f"{directory} is an experiment's run; choose another `name` for the sweep")
    store = run_directory(str(directory))
    _refuse_without_test(planned.cells)
    finished = set()
    if not overwrite:
        _refuse_changed(planned.cells, directory)
        finished = {cell.name for cell in planned.cells if is_finished(cell, directory)}
    with store.lock():
        store.write_document("sweep.json", dict(planned.content))
        entrants: list[Entrant] = []
        judged: dict[str, RightRows] = {}
        code = 0
        for cell in _announced(planned.cells, directory, tell):
            try:
                found, judged[cell.name] = run_cell(cell, directory, overwrite, quiet)
            except Exception as error:  # a fault in one cell must not cost the others
                logger.debug("%s failed", cell.name, exc_info=True)
                if isinstance(error, UsageError) and cell.name in finished:
                    raise UsageError(
                        f"{directory}: the data changed since the cells were trained ({cell.name}: {error}); the "
                        "board stays as it was; choose another `name`, or give `fusionapp sweep` --overwrite"
                    ) from error
                found = attrs.evolve(entrant(cell), error=_said(error))
                code = code or int(exit_code(error) or 1)
                tell(f"{cell.name} failed: {found.error}")
            entrants.append(found)
        board = Board(planned.name, str(directory), RankCells()(entrants, judged, planned.draws), code)
        write_board(store, board)
    return board


def plan_sweep(planned: Sweep, runs: str | os.PathLike[str]) -> list[tuple[Cell, bool]]:
    """Each cell, in the order in which they are run, and whether it has results already."""
    return [(cell, is_finished(cell, Path(runs) / planned.name)) for cell in planned.cells]


def time_left(seconds: Sequence[float], unfinished: int) -> str:
    """How long that many cells take at the usual pace of those that were run; "" before the first one."""
    if not seconds or not unfinished:
        return ""
    # The median: a cell that extracts embeddings takes far longer than those that share them.
    left = median(seconds) * unfinished
    if left < 90:
        return f"about {left:.0f} s left"
    return f"about {left / 60:.0f} min left" if left < 5400 else f"about {left / 3600:.1f} h left"


def _announced(cells: Sequence[Cell], directory: Path, tell: Tell) -> Iterator[Cell]:
    """Each cell, once `tell` has heard how far the sweep is; cells that had results do not count for the pace."""
    unfinished = {cell.name for cell in cells if not is_finished(cell, directory)}
    seconds: list[float] = []
    for position, cell in enumerate(cells, start=1):
        left = time_left(seconds, len(unfinished))
        tell(f"[{position}/{len(cells)}] {cell.name}" + (f", {left}" if left else ""))
        start = perf_counter()
        yield cell
        if cell.name in unfinished:
            unfinished.remove(cell.name)
            # Encoders hang in reference cycles: uncollected, one cell's models stay in the next one's memory.
            gc.collect()
            seconds.append(perf_counter() - start)


def _refuse_without_test(cells: Sequence[Cell]) -> None:
    """Refuse before anything is trained what could not be judged in the end."""
    for cell in cells:
        if cell.experiment.dataset.source == "files" and cell.experiment.dataset.test is None:
            raise UsageError(
                f"{cell.dataset or 'dataset'}: names no test split, and cells are judged on one; "
                'name its file, such as test = "test.csv"'
            )


def _refuse_changed(cells: Sequence[Cell], directory: Path) -> None:
    """Refuse before anything is run: a board of refusals would take the place of the one that stands there."""
    changed = []
    for cell in cells:
        guard = GuardExperiment(run_directory(str(directory / cell.name)))
        if paths := guard.changed(unstructure(cell.experiment)):
            changed.append(f"{cell.name} ({', '.join(paths)})")
    if changed:
        more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
        raise UsageError(
            f"{directory} holds cells of other settings: {'; '.join(changed[:5])}{more}; "
            "choose another `name`, or give --overwrite to train them again"
        )


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, FusionAppError) else f"{type(error).__name__}: {error}"


def _silent(_: str) -> None:
    """Says nothing."""

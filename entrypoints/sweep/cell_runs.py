"""Running one cell of a sweep: an experiment, or the linear SVM over an encoder set."""

from __future__ import annotations

from pathlib import Path

import attrs
import numpy as np

from fusionapp.application.ports.run_store import RunStore
from fusionapp.application.services.guard_experiment import essential
from fusionapp.application.services.rank_cells import Entrant, RightRows, read_right_rows
from fusionapp.application.services.score_linear import LinearResult, ScoreLinearControl
from fusionapp.domain.embeddings import fingerprint
from fusionapp.domain.scores import deviation
from fusionapp.entrypoints import api, steps
from fusionapp.entrypoints.gateways import run_directory
from fusionapp.entrypoints.sweep.cells import Cell

SPLIT = "test"


def entrant(cell: Cell) -> Entrant:
    """A cell's place on the board, before it is run."""
    return Entrant(cell.name, cell.dataset, cell.encoders, cell.fusion, cell.train, cell.role)


def is_finished(cell: Cell, directory: Path) -> bool:
    """Whether a run left results there; what they depend on is checked when the cell is run."""
    kept = f"linear_svm-{SPLIT}.json" if cell.role == "linear_svm" else f"metrics-{SPLIT}.json"
    return (directory / cell.name / kept).is_file()


def run_cell(cell: Cell, directory: Path, overwrite: bool, quiet: bool) -> tuple[Entrant, RightRows]:
    """Run a cell, or read what an earlier run of the same cell found.

    Args:
        cell: what is run.
        directory: of the sweep's run directories.
        overwrite: train again what was trained by other settings or on other data.
        quiet: show no progress bars.

    Raises:
        FusionAppError: see `fusionapp.domain.errors`.
    """
    runs = run_directory(str(directory / cell.name))
    run = _run_linear if cell.role == "linear_svm" else _run_heads
    return run(cell, directory, runs, overwrite, quiet), read_right_rows(runs, SPLIT)


def _run_heads(cell: Cell, directory: Path, runs: RunStore, overwrite: bool, quiet: bool) -> Entrant:
    if overwrite or not _trained(runs):
        api.train(cell.experiment, runs=directory, overwrite=overwrite, quiet=quiet)
    # Of a finished cell this reads the result and no embeddings.
    evaluation = api.evaluate(cell.experiment, split=SPLIT, runs=directory, quiet=quiet)
    trained = runs.read_document("models/trained.json")
    assert trained is not None, "what was evaluated is trained"
    accuracies = np.array([head["validation"]["accuracy"] for head in trained["heads"]])
    return attrs.evolve(
        entrant(cell),
        validation=float(accuracies.mean()),
        validation_sd=deviation(accuracies),
        metrics=evaluation.result,
        ensemble=evaluation.ensemble,
        seconds=trained["seconds"],
        parameters=trained["heads"][0]["parameters"],
    )


def _trained(runs: RunStore) -> bool:
    found = runs.read_document("models/trained.json")
    return found is not None and bool(found["heads"])


def _run_linear(cell: Cell, directory: Path, runs: RunStore, overwrite: bool, quiet: bool) -> Entrant:
    result = _fit_linear(cell, directory, overwrite, quiet)
    return attrs.evolve(
        entrant(cell),
        validation=result.validation,
        metrics=result.metrics,
        seconds=result.seconds,
        note=f"C={result.cost:g}",
    )


def _fit_linear(cell: Cell, directory: Path, overwrite: bool, quiet: bool) -> LinearResult:
    experiment = cell.experiment
    session = steps.open_experiment(experiment, directory, quiet)
    with session.gateways.runs().lock():
        with session.services.guard().around(session.resolved, overwrite):
            extraction = steps.extract_embeddings(session)
        score: ScoreLinearControl = session.services.score_linear()
        basis = fingerprint(
            {
                "carried": essential(steps.carry(session, extraction)),
                "test": extraction.inventory["splits"].get(SPLIT),
                "evaluate": session.resolved["evaluate"],
            }
        )
        kept = score.kept("linear_svm", SPLIT, basis)
        if kept is not None:
            return kept
        return score(
            kind="linear_svm",
            data=steps.prepare_data(session, extraction),
            test=session.services.gather()(extraction.inventory, SPLIT),
            recipes=experiment.train.sources,
            costs=experiment.evaluate.costs,
            label_column=experiment.dataset.label,
            draws=experiment.evaluate.draws,
            basis=basis,
        )

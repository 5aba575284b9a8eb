"""`fusionapp extract`: embed the texts of an experiment."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from fusionapp.entrypoints.commands.grouped_help import GroupedCommand
from fusionapp.entrypoints.commands.options import (
    content_from,
    experiment_options,
    given,
    is_quiet,
    json_option,
    overwrite_option,
    runs_option,
)
from fusionapp.entrypoints.commands.tasks import task_module
from fusionapp.entrypoints.commands.texts_options import EPILOG, GROUPS, job_from, texts_options
from fusionapp.entrypoints.experiment.schema import Experiment
from fusionapp.entrypoints.experiment.structure import AnyExperiment
from fusionapp.entrypoints.export_formats import check_formats
from fusionapp.entrypoints.retrieval.schema import RetrievalExperiment
from fusionapp.entrypoints.routing.schema import RoutingExperiment

if TYPE_CHECKING:
    from fusionapp.entrypoints.exporting import Exported


@click.command("extract", cls=GroupedCommand, groups=GROUPS, epilog=EPILOG)
@experiment_options
@texts_options
@click.option("--split", "splits", multiple=True, help="Only this split; may be given several times.")
@click.option("--limit", type=click.IntRange(min=1), help="Only the first rows of each split: a partial run.")
@click.option(
    "--on-empty",
    type=click.Choice(["error", "quarantine"]),
    default="quarantine",
    show_default=True,
    help="What a blank text is; `train` takes it for an error.",
)
@click.option(
    "--dry-run", is_flag=True, help="Print the plan: texts, how long they are, tokens, shards, disk."
)
@runs_option
@click.option("--output", type=click.Path(path_type=Path), help="Run directory, in place of RUNS/NAME.")
@overwrite_option
@json_option
def command(
    splits: tuple[str, ...],
    limit: int | None,
    on_empty: Literal["error", "quarantine"],
    dry_run: bool,
    runs: str,
    output: Path | None,
    formats: tuple[str, ...],
    overwrite: bool,
    as_json: bool,
    experiment: Path | None,
    sets: tuple[str, ...],
    encoders: tuple[str, ...],
    device: str | None,
    **flags: Any,
) -> None:
    """Embed the texts of EXPERIMENT, or of --texts FILE, with each encoder.

    Killed at any point, the same command goes on where it stopped and writes the same bytes; when all is done, it
    looks and says so. Exit codes: 0 done, 5 done but for quarantined rows, 4 another process writes there.
    """
    settings = _settings(experiment, sets, encoders, device, output, formats, flags)
    if not isinstance(settings, Experiment):
        if limit is not None or formats:
            raise click.UsageError("--limit and --format go with an experiment of texts, which this is not")
        run = _run(settings, experiment, runs, output)
        _extract_task(settings, splits, dry_run, run, overwrite, as_json)
        return
    if dry_run:
        from fusionapp.entrypoints import inspection
        from fusionapp.entrypoints.plans import print_plan

        print_plan(inspection.plan(settings, splits=splits, limit=limit, on_empty=on_empty), as_json)
        return
    from fusionapp.entrypoints import api, inspection
    from fusionapp.entrypoints.exporting import export_beside
    from fusionapp.entrypoints.reports import status_json

    run = _run(settings, experiment, runs, output)
    limits: Any = {"splits": splits, "limit": limit, "on_empty": on_empty}
    extraction = api.extract(settings, **limits, output=run, overwrite=overwrite, quiet=is_quiet())
    report = status_json(inspection.status(run), extraction.sets, extraction.shared)
    wanted = formats or (("npy",) if settings.dataset.texts is not None and experiment is None else ())
    exported = export_beside(run, wanted) if wanted else []
    if wanted:
        report["files"] = [path for one in exported for path in one.files]
    _print(report, exported, as_json)


def _extract_task(
    settings: RetrievalExperiment | RoutingExperiment,
    splits: tuple[str, ...],
    dry_run: bool,
    run: Path,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Embed queries and documents, or prompts."""
    from fusionapp.entrypoints import inspection
    from fusionapp.entrypoints.plans import print_plan
    from fusionapp.entrypoints.reports import status_json

    if dry_run:
        print_plan(task_module(settings, "planning").plan(settings, splits), as_json)
        return
    extract = task_module(settings, "api").extract
    found = extract(settings, splits=splits, run=run, overwrite=overwrite, quiet=is_quiet())
    _print(status_json(inspection.status(run), found.sets), [], as_json)


def _print(report: dict[str, Any], exported: Sequence[Exported], as_json: bool) -> None:
    """Say what was embedded, and end with the exit code of quarantined rows where there are some."""
    from fusionapp.entrypoints.exit_codes import ExitCode
    from fusionapp.entrypoints.output import print_exported, print_extraction, print_json

    if as_json:
        print_json(report)
    else:
        print_extraction(report)
        print_exported(exported)
    if report["quarantined"]:
        sys.exit(ExitCode.QUARANTINED)


def _run(settings: AnyExperiment, experiment: Path | None, runs: str, output: Path | None) -> Path:
    """The run directory."""
    from fusionapp.entrypoints.experiment.load import runs_directory

    return output or Path(runs_directory(experiment, runs), settings.name)


def _settings(
    experiment: Path | None,
    sets: tuple[str, ...],
    encoders: tuple[str, ...],
    device: str | None,
    output: Path | None,
    formats: tuple[str, ...],
    flags: dict[str, Any],
) -> AnyExperiment:
    """The experiment that the command line describes."""
    from fusionapp.entrypoints.experiment.load import named_experiment

    job = job_from(flags)
    job.check(experiment, output, given(flags))
    content = content_from(experiment, sets, device, encoders, **flags)
    job.complete(content, output)
    settings = named_experiment(content, experiment)
    check_formats(formats, settings)
    return settings

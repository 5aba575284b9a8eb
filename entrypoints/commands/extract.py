"""`fusionapp extract`: embed the texts of an experiment."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal

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
from fusionapp.entrypoints.commands.texts_options import EPILOG, GROUPS, job_from, texts_options
from fusionapp.entrypoints.experiment.schema import Experiment
from fusionapp.entrypoints.export_formats import check_formats


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
    if dry_run:
        _print_plan(settings, splits, limit, on_empty, as_json)
        return
    from fusionapp.entrypoints import api, inspection
    from fusionapp.entrypoints.exit_codes import ExitCode
    from fusionapp.entrypoints.experiment.load import runs_directory
    from fusionapp.entrypoints.exporting import export_beside
    from fusionapp.entrypoints.output import print_exported, print_extraction, print_json
    from fusionapp.entrypoints.reports import status_json

    run = output or Path(runs_directory(experiment, runs), settings.name)
    limits: Any = {"splits": splits, "limit": limit, "on_empty": on_empty}
    extraction = api.extract(settings, **limits, output=run, overwrite=overwrite, quiet=is_quiet())
    report = status_json(inspection.status(run), extraction)
    wanted = formats or (("npy",) if settings.dataset.texts is not None and experiment is None else ())
    exported = export_beside(run, wanted) if wanted else []
    if wanted:
        report["files"] = [path for one in exported for path in one.files]
    if as_json:
        print_json(report)
    else:
        print_extraction(report)
        print_exported(exported)
    if report["quarantined"]:
        sys.exit(ExitCode.QUARANTINED)


def _settings(
    experiment: Path | None,
    sets: tuple[str, ...],
    encoders: tuple[str, ...],
    device: str | None,
    output: Path | None,
    formats: tuple[str, ...],
    flags: dict[str, Any],
) -> Experiment:
    """The experiment that the command line describes."""
    from fusionapp.entrypoints.experiment.load import named_experiment

    job = job_from(flags)
    job.check(experiment, output, given(flags))
    content = content_from(experiment, sets, device, encoders, **flags)
    job.complete(content, output)
    settings = named_experiment(content, experiment)
    check_formats(formats, settings)
    return settings


def _print_plan(settings: Any, splits: Any, limit: int | None, on_empty: Any, as_json: bool) -> None:
    import attrs

    from fusionapp.entrypoints import inspection
    from fusionapp.entrypoints.output import print_json, print_table

    plan = inspection.plan(settings, splits=splits, limit=limit, on_empty=on_empty)
    if as_json:
        print_json({"plan": [attrs.asdict(one) for one in plan]})
        return
    print_table(
        ("encoder", "split", "texts", "to do", "tokens (estimated)", "shards", "disk (estimated)"),
        [
            (
                one.encoder,
                one.split,
                f"{one.texts:,}",
                f"{one.missing_texts:,}",
                f"{one.tokens:,}",
                str(one.shards),
                f"{one.disk_bytes / 2**20:,.1f} MiB",
            )
            for one in plan
        ],
        numbers_from=2,
    )
    print_table(
        ("encoder", "split", "min", "median", "90 %", "95 %", "99 %", "max", "truncated", "tokens a batch"),
        [
            (
                one.encoder,
                one.split,
                *(f"{length:,}" for length in _quantiles(one.lengths)),
                f"{one.lengths.truncated:.1%}",
                f"{one.batch_tokens:,}",
            )
            for one in plan
        ],
        title="tokens of a text, before anything is cut",
        numbers_from=2,
    )
    for name, choices in {one.encoder: one.choices for one in plan}.items():
        for choice in choices:
            click.echo(f"{name}: {choice}")


def _quantiles(lengths: Any) -> tuple[int, ...]:
    return lengths.minimum, lengths.median, lengths.p90, lengths.p95, lengths.p99, lengths.maximum

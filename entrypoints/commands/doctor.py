"""`fusionapp doctor`: what this machine can run."""

from __future__ import annotations

import sys

import click

from fusionapp.entrypoints.commands.options import json_option


@click.command("doctor")
@click.option("--device", help="Also prove that this device works, such as cuda:0.")
@json_option
def command(device: str | None, as_json: bool) -> None:
    """Say what this machine can run, and what is missing; exit 2 where something is wrong."""
    import attrs

    from fusionapp.adapters.machine.diagnosis import diagnose
    from fusionapp.entrypoints.experiment.environment import read_environment
    from fusionapp.entrypoints.output import print_json, print_table

    environment = read_environment()
    findings = diagnose(device, environment.embeddings or "embeddings", environment.model_cache)
    problems = [finding for finding in findings if finding.status == "problem"]
    if as_json:
        print_json({"ok": not problems, "findings": [attrs.asdict(finding) for finding in findings]})
    else:
        print_table(
            ("", "subject", "finding"),
            [(finding.status, finding.subject, finding.detail) for finding in findings],
        )
    if problems:
        sys.exit(2)

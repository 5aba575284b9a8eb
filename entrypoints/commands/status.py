"""`fusionapp status`: how far an extraction has come."""

from __future__ import annotations

from pathlib import Path

import click

from fusionapp.entrypoints.commands.options import json_option


@click.command("status")
@click.argument("directory", type=click.Path(path_type=Path))
@json_option
def command(directory: Path, as_json: bool) -> None:
    """Say how far the extraction of the run DIRECTORY has come, counting durable rows only."""
    from fusionapp.entrypoints import inspection
    from fusionapp.entrypoints.output import print_extraction, print_json
    from fusionapp.entrypoints.reports import status_json

    report = status_json(inspection.status(directory))
    if as_json:
        print_json(report)
    else:
        print_extraction(report)

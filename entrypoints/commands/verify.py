"""`fusionapp verify`: every stored byte against its recorded hash."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from fusionapp.entrypoints.commands.options import json_option


@click.command("verify")
@click.argument("directory", type=click.Path(path_type=Path))
@json_option
def command(directory: Path, as_json: bool) -> None:
    """Check every byte of DIRECTORY, a run directory or a storage root, against its recorded hash.

    Exit 3 where anything is not what was written. Incomplete is not corrupt.
    """
    import attrs

    from fusionapp.entrypoints import inspection
    from fusionapp.entrypoints.exit_codes import ExitCode
    from fusionapp.entrypoints.output import print_json

    problems = inspection.verify(directory)
    if as_json:
        print_json({"ok": not problems, "problems": [attrs.asdict(problem) for problem in problems]})
    else:
        for problem in problems:
            click.echo(f"{problem.file}: {problem.problem}")
        click.echo(f"{len(problems)} problems" if problems else f"{directory}: every byte is as recorded")
    if problems:
        sys.exit(ExitCode.CORRUPT)

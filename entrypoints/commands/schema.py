"""`fusionapp schema`: every key of an experiment."""

from __future__ import annotations

import click

from fusionapp.entrypoints.commands.options import json_option


@click.command("schema")
@json_option
def command(as_json: bool) -> None:
    """List every key of an experiment file, and of a sweep's, with its type, default and meaning."""
    import attrs

    from fusionapp.entrypoints.experiment.table import schema_rows
    from fusionapp.entrypoints.output import print_json, print_table
    from fusionapp.entrypoints.sweep.schema import SWEEP_ROWS

    rows = [*schema_rows(), *SWEEP_ROWS]
    if as_json:
        print_json({"keys": [attrs.asdict(row) for row in rows]})
    else:
        print_table(
            ("key", "type", "default", "meaning"),
            [(row.key, row.type, row.default, row.meaning) for row in rows],
        )

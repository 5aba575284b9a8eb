"""Help of a command with many options: under headings, and with examples that keep their lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click


class GroupedCommand(click.Command):
    """A command whose ``--help`` lists its options under headings.

    Args:
        groups: a heading, and the options below it by their long flag, in order; the others stand at the end.
    """

    def __init__(self, *arguments: Any, groups: Mapping[str, Sequence[str]], **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._groups = groups

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The options of each heading, then the others."""
        rows = {}
        for parameter in self.get_params(ctx):
            row = parameter.get_help_record(ctx)
            if row is not None and isinstance(parameter, click.Option):
                rows[max(parameter.opts, key=len)] = row
        grouped = {flag for flags in self._groups.values() for flag in flags}
        others = tuple(flag for flag in rows if flag not in grouped)
        for heading, flags in {**self._groups, "Other options": others}.items():
            shown = [rows[flag] for flag in flags if flag in rows]
            if shown:
                with formatter.section(heading):
                    formatter.write_dl(shown)

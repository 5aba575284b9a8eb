"""`fusionapp completion`: shell completion."""

from __future__ import annotations

import click


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print a completion script, for instance: eval "$(fusionapp completion bash)"."""
    from click.shell_completion import get_completion_class

    from fusionapp.entrypoints.main import cli

    kind = get_completion_class(shell)
    assert kind is not None, "click knows bash, zsh and fish"
    click.echo(kind(cli, {}, "fusionapp", "_FUSIONAPP_COMPLETE").source())

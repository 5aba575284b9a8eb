"""The `fusionapp` command: a group that imports a command's module only when that command runs."""

from __future__ import annotations

import os
import sys
import traceback
from importlib import import_module

import click

from fusionapp import __version__

COMMANDS = {
    "fetch": "Fetch papers from arXiv, politely and resumably.",
    "extract": "Embed the texts of an experiment, resumably.",
    "train": "Train fusion heads over the embeddings, all seeds at once.",
    "evaluate": "Score the test split beside its controls, with intervals.",
    "sweep": "Run encoder sets x fusions x datasets x settings, and rank them.",
    "predict": "Classify new texts with a trained run.",
    "index": "Make the documents of a retrieval run searchable.",
    "search": "Find the documents that answer a query.",
    "route": "Choose a model for each prompt.",
    "add-model": "Let a new model into a trained router by a few answers.",
    "mine": "Write a retrieval run's pairs with hard negatives.",
    "compare": "Compare two evaluated runs on the same texts.",
    "explain": "Say which parts of a trained run count, and where it errs.",
    "status": "Say how far an extraction has come, counting durable rows only.",
    "verify": "Check every stored byte against its recorded hash.",
    "export": "Write stored embeddings, or a trained model, to one file.",
    "import": "Take embeddings that were made elsewhere into the store.",
    "encoders": "List the encoders that have an alias.",
    "schema": "List every key of an experiment file.",
    "doctor": "Say what this machine can run, and what is missing.",
    "demo": "Run the whole job on the docstrings of the installed packages.",
    "completion": "Print the shell completion script.",
}

FLAGS = ("--debug", "--verbose", "--quiet")


class LazyCommands(click.Group):
    """Knows every command's name and one-line help without importing it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of a first session."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module."""
        if cmd_name not in COMMANDS:
            return None
        # A module cannot be called as Python's own word is.
        stem = "import_" if cmd_name == "import" else cmd_name.replace("-", "_")
        module = import_module(f"fusionapp.entrypoints.commands.{stem}")
        command: click.Command = module.command
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; a reader of stdout that goes away (`fusionapp ... | head`) ends it in peace."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyCommands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="fusionapp")
@click.option("--debug", is_flag=True, help="Show the traceback of an error, and debug logs.")
@click.option("-v", "--verbose", is_flag=True, help="Log each step.")
@click.option("-q", "--quiet", is_flag=True, help="Show neither progress nor logs below errors.")
@click.pass_context
def cli(ctx: click.Context, debug: bool, verbose: bool, quiet: bool) -> None:
    """Extract, fuse, train and honestly evaluate text embeddings.

    A first look: `fusionapp demo`. Your own data: `fusionapp extract|train|evaluate EXPERIMENT.toml`.
    """
    from fusionapp.entrypoints.console import configure_logging

    configure_logging("DEBUG" if debug else "INFO" if verbose else "ERROR" if quiet else "WARNING")
    ctx.obj = {"quiet": quiet}


def main(arguments: list[str] | None = None) -> None:
    """Run the command and exit with its code; an error is one readable line on stderr."""
    flags, words = _split_flags(sys.argv[1:] if arguments is None else arguments)
    try:
        code = cli.main(flags + words, prog_name="fusionapp", standalone_mode=False)
    except click.exceptions.Abort:  # click's word for Ctrl-C
        code = _report(KeyboardInterrupt(), debug=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # the last place where one can be caught
        code = _report(error, "--debug" in flags)
    sys.exit(code if isinstance(code, int) else 0)


def _split_flags(words: list[str]) -> tuple[list[str], list[str]]:
    """The group's long flags, and the rest: people add them to the end of a line that failed."""
    end = words.index("--") if "--" in words else len(words)
    flags = [word for word in words[:end] if word in FLAGS]
    return flags, [word for word in words[:end] if word not in FLAGS] + words[end:]


def _report(error: BaseException, debug: bool) -> int:
    from fusionapp.entrypoints.exit_codes import exit_code

    if debug:
        traceback.print_exception(error)
    code = exit_code(error)
    if isinstance(error, KeyboardInterrupt):
        click.echo("interrupted: what is durable stays; run the same command to go on", err=True)
    elif code is None:
        click.echo(
            f"fusionapp failed: {type(error).__name__}: {error} (--debug shows the traceback)", err=True
        )
    else:
        click.echo(f"error: {error}", err=True)
    return 1 if code is None else int(code)

"""Errors become one readable line and the exit code that DESIGN.md promises."""

from __future__ import annotations

import errno
from collections.abc import Callable
from importlib import import_module

import click
import pytest

from fusionapp.domain.errors import (
    ConfigurationError,
    CorruptArtifactError,
    DatasetError,
    LockedError,
    ResourceError,
    UpstreamError,
    UsageError,
)
from fusionapp.entrypoints.exit_codes import exit_code
from fusionapp.entrypoints.main import COMMANDS, cli, main


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("x"), 2),
        (ConfigurationError(["x"]), 2),
        (DatasetError("x"), 2),
        (PermissionError("x"), 2),
        (CorruptArtifactError("x"), 3),
        (LockedError("x"), 4),
        (UpstreamError("x"), 6),
        (ResourceError("x"), 7),
        (MemoryError("x"), 7),
        (OSError(errno.ENOSPC, "x"), 7),
        (KeyboardInterrupt(), 130),
        (ZeroDivisionError("x"), None),
        (ValueError("x"), None),
    ],
)
def test_every_error_has_the_exit_code_of_its_kind(error: BaseException, code: int | None) -> None:
    assert exit_code(error) == code


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(list(words))
    assert isinstance(caught.value.code, int)
    return caught.value.code


@pytest.fixture
def fail_with(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Makes `fusionapp status` fail with an error."""

    def install(error: BaseException) -> None:
        def fail(ctx: click.Context) -> None:
            raise error

        monkeypatch.setattr(import_module("fusionapp.entrypoints.commands.status").command, "invoke", fail)

    return install


def test_an_error_is_one_line_on_stderr(
    fail_with: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    fail_with(UsageError("no way: take another"))
    assert run("status", "x") == 2
    assert capsys.readouterr() == ("", "error: no way: take another\n")


@pytest.mark.parametrize("words", [("--debug", "status", "x"), ("status", "x", "--debug")])
def test_debug_shows_the_traceback_and_keeps_the_code(
    fail_with: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    fail_with(UsageError("no way"))
    assert run(*words) == 2
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_a_fault_of_our_own_is_named_and_says_how_to_see_more(
    fail_with: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    fail_with(ZeroDivisionError("division by zero"))
    assert run("status", "x") == 1
    error = capsys.readouterr().err
    assert error.startswith("fusionapp failed: ZeroDivisionError: division by zero")
    assert "--debug" in error
    assert "Traceback" not in error


def test_an_interrupt_says_that_nothing_durable_is_lost(
    fail_with: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    fail_with(KeyboardInterrupt())
    assert run("status", "x") == 130
    assert "go on" in capsys.readouterr().err


def test_after_two_dashes_a_flag_is_an_argument(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("status", "--", "--debug") == 2
    error = capsys.readouterr().err
    assert "--debug: no such run directory" in error
    assert "Traceback" not in error


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command, "--help") == 0
    output, error = capsys.readouterr()
    assert output.startswith(f"Usage: fusionapp {command}")
    assert error == ""


def test_the_list_of_commands_says_what_each_one_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    shown = capsys.readouterr().out
    assert all(command in shown for command in COMMANDS)
    assert list(COMMANDS) == cli.list_commands(click.Context(cli))


def test_an_unknown_command_or_option_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("extrct") == 2
    assert "No such command 'extrct'" in capsys.readouterr().err
    assert run("status", "x", "--nope") == 2


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_each_shell(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("completion", shell) == 0
    assert "_FUSIONAPP_COMPLETE" in capsys.readouterr().out

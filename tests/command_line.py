"""Running the `fusionapp` command, in this process or in one of its own."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import attrs

from fusionapp.entrypoints.main import main

SOURCES = Path(__file__).parents[1] / "src"
SCRIPT = Path(sys.executable).with_name("fusionapp")
COMMAND = (
    [str(SCRIPT)]
    if SCRIPT.exists()
    else [sys.executable, "-c", "from fusionapp.entrypoints.main import main; main()"]
)


@attrs.frozen
class Result:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON object on stdout."""
        (line,) = self.out.splitlines()
        return json.loads(line)

    @property
    def lines(self) -> list[Any]:
        """The JSON objects on stdout, one a line."""
        return [json.loads(line) for line in self.out.splitlines()]


def call(directory: Path, *words: str | Path, stdin: bytes = b"", code: int = 0) -> Result:
    """Run `fusionapp WORDS` in a directory, in this process, and assert its exit code."""
    ended = attempt(directory, *words, stdin=stdin)
    assert ended.code == code, ended
    return ended


def attempt(directory: Path, *words: str | Path, stdin: bytes = b"") -> Result:
    """Run `fusionapp WORDS` in a directory, in this process, however it ends."""
    out, err = io.StringIO(), io.StringIO()
    before = sys.stdin
    sys.stdin = io.TextIOWrapper(io.BytesIO(stdin))
    try:
        with untouched_logging(), chdir(directory), redirect_stdout(out), redirect_stderr(err):
            main([str(word) for word in words])
    except SystemExit as exit_:
        ended = Result(int(exit_.code or 0), out.getvalue(), err.getvalue())
    finally:
        sys.stdin = before
    return ended


def refused(directory: Path, *words: str | Path, code: int, stdin: bytes = b"") -> str:
    """Run a command that fails; its message, which is one line, without a traceback."""
    ended = call(directory, *words, code=code, stdin=stdin)
    assert ended.err.startswith("error: ")
    assert ended.err.count("\n") == 1
    return ended.err


def flip(path: Path, place: int = -2) -> None:
    """Change one bit of a file."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def start(
    directory: Path, *words: str | Path, group: bool = False, **variables: str
) -> subprocess.Popen[str]:
    """Start `fusionapp WORDS` in a directory, in a process of its own; `group`: and in a process group."""
    return subprocess.Popen(
        [*COMMAND, *map(str, words)],
        cwd=directory,
        env=environment(variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=group,
    )


def environment(variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of such a process; one thread, so that it is quick on a small machine."""
    return {**os.environ, "PYTHONPATH": str(SOURCES), "OMP_NUM_THREADS": "1", **(variables or {})}


def finish(process: subprocess.Popen[str]) -> Result:
    """Wait for a process to end."""
    out, err = process.communicate(timeout=120)
    return Result(process.returncode, out, err)


@contextmanager
def untouched_logging() -> Iterator[None]:
    """Put the `fusionapp` logger back as it was: a command configures it for its process."""
    logger = logging.getLogger("fusionapp")
    before = (logger.handlers, logger.level, logger.propagate)
    try:
        yield
    finally:
        logger.handlers, logger.propagate = before[0], before[2]
        logger.setLevel(before[1])

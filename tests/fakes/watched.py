"""Watching which files the process opens, by Python's own audit events."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

_watching: list[list[Path]] = []


@cache
def _install() -> None:
    """Once a process: an audit hook cannot be taken away again."""

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event in {"open", "os.listdir", "os.scandir"} and arguments and _watching:
            path = arguments[0]
            if isinstance(path, (str, bytes)) and not _is_code(os.fsdecode(path)):
                for opened in _watching:
                    opened.append(Path(os.path.normpath(Path.cwd() / os.fsdecode(path))))

    sys.addaudithook(hook)


def _is_code(path: str) -> bool:
    """What an import opens, and a traceback."""
    return path.startswith((sys.prefix, sys.base_prefix)) or path.endswith((".py", ".pyc"))


@contextmanager
def watched() -> Iterator[list[Path]]:
    """Absolute paths of the files and directories that are opened in the block."""
    _install()
    opened: list[Path] = []
    _watching.append(opened)
    try:
        yield opened
    finally:
        _watching.remove(opened)

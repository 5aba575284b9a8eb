"""The paths of an experiment's problems: printed, followed into a plain dict, and set against each other."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

Path = tuple[str, ...]
"""Keys from the outermost table on; an entry of a list is `at` its place."""

DECIDING = ("kind", "source", "text", "revision")
"""Keys whose value other keys of the same table depend on."""

_STAGE = re.compile(r"\.schedule\.\d+\.")


def at(place: int) -> str:
    """An entry of a list, as a part of a path."""
    return f"[{place}]"


def dotted(path: Path) -> str:
    """A path as it is printed: ``train.composition.schedule[0].main``."""
    return ".".join(path).replace(".[", "[")


def cause(path: Path) -> Path:
    """What to drop for a problem: without its adapter, an encoder's table cannot be judged."""
    return path[:-1] if path[:1] == ("encoders",) and path[-1] == "adapter" else path


def drop(content: dict[str, Any], path: Path) -> bool:
    """Remove a key that was reported, or the table that lacks it; False where there is nothing to remove."""
    place: Any = content
    for depth, key in enumerate(path):
        if isinstance(place, list):
            entry = place[int(key[1:-1])]
            if depth == len(path) - 1 or not isinstance(entry, dict):
                return drop(
                    content, path[:depth]
                )  # the list: without an entry, the others' places would shift
            place = entry
            continue
        if not isinstance(place, dict):
            return False
        if key not in place:
            return depth > 0 and drop(content, path[:depth])
        if depth == len(path) - 1:
            del place[key]
            return True
        place = place[key]
    return False


def follows(line: str, problems: Sequence[str]) -> bool:
    """Whether an impossible combination is only the shadow of a problem that was reported before.

    It is where the key itself, a key below it or its table was reported; where the table's deciding key was,
    since the default stands in its place; for a source where its encoder was, which may be missing by now; and for
    a stage's share where its topics were.
    """
    key = _undotted(line)
    table = key.rpartition(".")[0]
    reported = {_undotted(said) for said in problems}
    return any(
        f"{said}.".startswith(f"{one}.") or one.startswith(f"{said}.")
        for said in reported
        for one in (key, key.replace("train.sources.", "encoders."), _STAGE.sub(".", key))
    ) or any(f"{table}.{deciding}" in reported for deciding in DECIDING)


def _undotted(line: str) -> str:
    """The path that a problem starts with, every part after a dot."""
    return line.split(":", 1)[0].replace("[", ".").replace("]", "")

"""Telling what kind of task a run, or a file, is of before anything else is said about it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fusionapp.application.services.guard_experiment import RESOLVED
from fusionapp.domain.errors import UsageError

CLASSIFY = "classify"
TAKEN = {
    "retrieve": "extract, train, evaluate, index, search, mine, status, verify and `export embeddings`",
    "route": "extract, train, evaluate, route, add-model, status, verify and `export embeddings`",
}
"""What takes an experiment of another kind, in words."""


def kind_of(content: Any) -> str:
    """The kind that a plain dict names; a classification where it names none that is a string."""
    task = content.get("task") if isinstance(content, Mapping) else None
    kind = task.get("kind") if isinstance(task, Mapping) else None
    return kind if isinstance(kind, str) else CLASSIFY


def refuse_other(who: str, content: Any) -> None:
    """Refuse an experiment that is no classification.

    Args:
        who: names it in the message.
        content: the experiment as a plain dict.

    Raises:
        UsageError: it is one.
    """
    kind = kind_of(content)
    if kind in TAKEN:
        raise UsageError(
            f'{who}: this is for task.kind = "{CLASSIFY}", and it is of kind "{kind}", which {TAKEN[kind]} take'
        )


def refuse_other_run(place: Path) -> None:
    """Refuse a run that is no classification, or a directory within one; what is no run at all passes.

    Raises:
        UsageError: it is one.
    """
    for run in (place, *place.resolve().parents[:3]):
        try:
            content = json.loads((run / RESOLVED).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        refuse_other(str(place), content)
        return

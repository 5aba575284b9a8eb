"""Names of cells: readable, the same in every run, no two alike, and none that leaves its directory."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from fusionapp.domain.embeddings import fingerprint

LONGEST = 100


def describe_choice(table: Mapping[str, Any], kind: type) -> str:
    """What a table of settings sets, in the schema's order: ``residual rank=64 no normalize``.

    Args:
        table: the settings.
        kind: the attrs class whose fields they are; its `kind` field is left out.
    """
    words = []
    for field in attrs.fields(kind):
        if field.name in table and field.name != "kind":
            value = table[field.name]
            if isinstance(value, bool):
                words.append(field.name if value else f"no {field.name}")
            else:
                words.append(f"{field.name}={_shown(value)}")
    return " ".join(words)


def name_cells(parts: Sequence[Sequence[str]]) -> list[str]:
    """One directory name for each cell, from what it is made of.

    A name that two cells would share (letter case aside, as some file systems do), or that is longer than a
    directory's name should be, ends in a fingerprint of its parts.

    Args:
        parts: of each cell: dataset, encoders, fusion, training settings; blank parts are left out.
    """
    plain = [_slug("-".join(part for part in cell if part)) for cell in parts]
    shared = Counter(name.casefold() for name in plain)
    return [
        name
        if shared[name.casefold()] == 1 and len(name) <= LONGEST
        else f"{name[: LONGEST - 9]}-{fingerprint({'parts': list(cell)})[:8]}"
        for name, cell in zip(plain, parts, strict=True)
    ]


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(_shown, value))
    return f"#{fingerprint(dict(value))[:8]}" if isinstance(value, Mapping) else str(value)


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.") or "cell"

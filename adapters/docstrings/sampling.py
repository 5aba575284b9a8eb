"""Choosing a label's docstrings and dealing its modules to splits."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set as AbstractSet

import attrs

from fusionapp.adapters.docstrings.modules import ModuleFile, stable_key
from fusionapp.adapters.docstrings.names import NameEraser
from fusionapp.adapters.docstrings.prose import prose

SHARES: Mapping[str, float] = {"train": 0.7, "test": 0.2, "validation": 0.1}
"""Part of each label's rows that a split is to hold."""

MIN_WORDS = 6
_WORD = re.compile(r"[^\W\d_]{2,}")


@attrs.frozen
class Row:
    """One docstring's prose.

    Attributes:
        text: the prose, without the package's name.
        label: package, or area of the standard library.
        name: ``module:qualified.name``.
    """

    text: str
    label: str
    name: str


def sample(
    label: str,
    modules: Sequence[ModuleFile],
    eraser: NameEraser,
    *,
    seen: AbstractSet[str],
    max_rows: int,
    max_module_rows: int,
) -> dict[str, list[Row]]:
    """Rows of a label by module, in the modules' order; reading stops once there are `max_rows`.

    Texts in `seen` and repeated ones are left out, and so are those of fewer than six words.
    """
    chosen: dict[str, list[Row]] = {}
    known = set(seen)
    left = max_rows
    for module in modules:
        if left <= 0:
            break
        rows: list[Row] = []
        docstrings = sorted(module.docstrings(), key=lambda found: stable_key(module.name, *found))
        for name, docstring in docstrings:
            if len(rows) == min(max_module_rows, left):
                break
            text = eraser.erase(prose(docstring))
            if text not in known and _is_prose(text):
                known.add(text)
                rows.append(Row(text, label, f"{module.name}:{name}"))
        if rows:
            chosen[module.name] = rows
            left -= len(rows)
    return chosen


def deal(modules: Mapping[str, Sequence[Row]]) -> dict[str, list[Row]]:
    """Deal whole modules to splits, each to the one that is emptiest for its share; three modules fill all.

    A module's docstrings resemble each other; those of one module in train and test would be half the answer.
    """
    dealt: dict[str, list[Row]] = {split: [] for split in SHARES}
    for rows in modules.values():
        split = min(SHARES, key=lambda name: len(dealt[name]) / SHARES[name])
        dealt[split] += rows
    return dealt


def _is_prose(text: str) -> bool:
    """At least six words, and letters for the most part: what is left of code and tables is neither."""
    letters = sum(character.isalpha() or character == " " for character in text)
    return len(_WORD.findall(text)) >= MIN_WORDS and letters >= 0.8 * len(text)

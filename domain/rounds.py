"""Rounds of a protocol: which rows a fold or a draw trains on, chooses by and is tested on.

A text that stands several times is one text here: in cross-validation all its rows go where the first one goes,
so that none is trained on and tested by; a draw takes it at most once.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import numpy as np

from fusionapp.domain.errors import UsageError
from fusionapp.domain.splitting import Rows, stratified_folds, stratified_validation


@attrs.frozen(eq=False)
class RoundRows:
    """The rows of one round, all ascending.

    Attributes:
        name: ``fold-3`` or ``draw-3``.
        train: (rows,) int64, trained on.
        validation: (rows,) int64, stopped and chosen by.
        test: (rows,) int64, scored; empty where a split of its own is scored.
    """

    name: str
    train: Rows
    validation: Rows
    test: Rows


def fold_rounds(labels: Rows, texts: Rows, folds: int, fraction: float, seed: int = 0) -> Iterator[RoundRows]:
    """Stratified k-fold cross-validation: every row is tested once (Kohavi 1995).

    Args:
        labels: (rows,) class of each row.
        texts: (rows,) alike for rows of the same text (`splitting.text_groups`).
        folds: how many.
        fraction: share of a fold's other rows that is taken for validation, stratified.
        seed: of the folds and of the choice of validation.

    Raises:
        UsageError: more folds than texts, or nothing can be spared for validation.
    """
    _, first, text_of = np.unique(texts, return_index=True, return_inverse=True)
    fold_of = stratified_folds(labels[first], folds, seed)
    for fold in range(folds):
        others = np.flatnonzero(fold_of != fold)
        _, chosen_by = stratified_validation(labels[first[others]], fraction, seed + fold)
        role = np.where(fold_of == fold, 2, 0)
        role[others[chosen_by]] = 1
        train, validation, test = (np.flatnonzero(role[text_of] == part) for part in range(3))
        yield RoundRows(f"fold-{fold}", train, validation, test)


def shot_rounds(
    labels: Rows, texts: Rows, shots: int, draws: int, fraction: float, seed: int = 0
) -> Iterator[RoundRows]:
    """Few-shot draws: `shots` rows of each class, all of them where a class has fewer.

    Selection is paid out of the same rows, since a large validation split would be labels that few-shot learning
    does not have: `fraction` of a class's rows, at least one, is for validation, and at least one for training.

    Args:
        labels: (rows,) class of each row.
        texts: (rows,) alike for rows of the same text.
        shots: rows of a class, at least 2.
        draws: how many.
        fraction: share of a class's rows that is taken for validation.
        seed: draw i is seeded by the pair (seed, i), so that another seed gives other draws: by seed + i,
            neighbouring seeds would share all draws but one.

    Raises:
        UsageError: fewer than two shots.
    """
    if shots < 2:
        raise UsageError(f"{shots} shots: one row a class would leave nothing to choose by; use 2 or more")
    distinct = np.sort(np.unique(texts, return_index=True)[1])
    for draw in range(draws):
        shuffled = np.random.default_rng([seed, draw]).permutation(distinct)
        parts = [_deal(shuffled[labels[shuffled] == one][:shots], fraction) for one in np.unique(labels)]
        train, validation = (np.sort(np.concatenate(part)) for part in zip(*parts, strict=True))
        yield RoundRows(f"draw-{draw}", train, validation, np.empty(0, dtype=np.int64))


def _deal(rows: Rows, fraction: float) -> tuple[Rows, Rows]:
    """A class's rows for training and for validation."""
    held_out = min(len(rows) - 1, max(1, round(fraction * len(rows))))
    return rows[held_out:], rows[:held_out]

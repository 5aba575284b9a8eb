"""Taking validation rows out of train, cutting rows into folds, and finding texts that stand in two splits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from itertools import combinations

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.errors import UsageError

Rows = NDArray[np.int64]


def stratified_validation(labels: Rows, fraction: float = 0.1, seed: int = 0) -> tuple[Rows, Rows]:
    """Split rows by class, close to `fraction` in total and in every class.

    Every class keeps a row in train, so a class with one row stays there whole. Rows that rounding leaves
    over go to the classes that were rounded down most.

    Args:
        labels: (rows,) class of each row.
        fraction: share of rows for validation, in (0, 1).
        seed: of the draw; the same labels, fraction and seed give the same rows.

    Returns:
        Row numbers for train and for validation, ascending.

    Raises:
        UsageError: a fraction outside (0, 1), or no class with a row to spare.
    """
    if not 0 < fraction < 1:
        raise UsageError(f"validation fraction {fraction} is not between 0 and 1; use 0.1")
    _, class_of, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if not np.any(counts > 1):
        raise UsageError(
            f"validation: none of {len(counts)} classes has two rows, so nothing can be spared from train; "
            "name a validation split"
        )
    taken = _allot(counts, fraction)
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    by_class = shuffled[np.argsort(class_of[shuffled], kind="stable")]
    starts = np.cumsum(counts) - counts
    place_in_class = np.arange(len(labels)) - np.repeat(starts, counts)
    chosen = np.zeros(len(labels), dtype=bool)
    chosen[by_class] = place_in_class < np.repeat(taken, counts)
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def stratified_folds(labels: Rows, folds: int, seed: int = 0) -> Rows:
    """Deal rows out to folds, so that folds are alike in size and in every class, each to within one row.

    Rows lie shuffled in the order of their classes and are dealt like cards, so a class with fewer rows than
    folds is missing from some folds, and one with a single row is missing wherever its fold is left out.

    Args:
        labels: (rows,) class of each row.
        folds: how many, from 2 to the number of rows.
        seed: of the shuffle; the same labels, folds and seed give the same folds.

    Returns:
        (rows,) int64, the fold of each row in [0, folds).

    Raises:
        UsageError: fewer than two folds, or more folds than rows.
    """
    if not 2 <= folds <= len(labels):
        raise UsageError(f"{folds} folds of {len(labels)} rows: use at least 2 folds, and at most one a row")
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    fold = np.empty(len(labels), dtype=np.int64)
    fold[by_class] = np.arange(len(labels)) % folds
    return fold


def grouped_folds(labels: Rows, groups: Rows, folds: int, seed: int = 0) -> Rows:
    """`stratified_folds` of groups: rows that are alike go where the first of them goes.

    Args:
        labels: (rows,) class of each row; a group's is that of its first row.
        groups: (rows,) alike for rows that belong together.
        folds: how many, from 2 to the number of groups.
        seed: of the shuffle.

    Returns:
        (rows,) int64, the fold of each row.

    Raises:
        UsageError: fewer than two folds, or more folds than groups.
    """
    _, first, group_of = np.unique(groups, return_index=True, return_inverse=True)
    fold: Rows = stratified_folds(labels[first], folds, seed)[group_of]
    return fold


def _allot(counts: Rows, fraction: float) -> Rows:
    """How many rows of each class go to validation: largest remainders, one row always left in train."""
    quota = counts * fraction
    taken: Rows = np.minimum(np.floor(quota).astype(np.int64), counts - 1)
    wanted = max(1, round(fraction * int(counts.sum())))
    by_remainder = np.lexsort((-counts, taken - quota))
    while taken.sum() < wanted and np.any(taken < counts - 1):
        open_classes = by_remainder[taken[by_remainder] < counts[by_remainder] - 1]
        taken[open_classes[: wanted - taken.sum()]] += 1
    return taken


@attrs.frozen(eq=False)
class SharedTexts:
    """Texts that stand in more than one split.

    Attributes:
        counts: by pair of splits, in the order given: how many distinct texts stand in both; pairs without
            any are left out.
        train_rows: (shared,) int64, ascending row numbers of train whose text stands in another split too.
    """

    counts: Mapping[tuple[str, str], int]
    train_rows: Rows


def duplicate_rows(splits: Mapping[str, Iterable[str]], train: str = "train") -> SharedTexts:
    """Find texts, equal character by character, that leak from one split into another.

    Texts are read once and kept as 16-byte digests, so memory is 16 bytes a row; those of a single split are not
    read.

    Args:
        splits: texts in row order, by split.
        train: the split whose rows are listed; it may be absent.
    """
    if len(splits) < 2:
        return SharedTexts({}, np.empty(0, dtype=np.int64))
    digests = {name: _digests(texts) for name, texts in splits.items()}
    counts = {}
    for first, second in combinations(digests, 2):
        shared = len(np.intersect1d(digests[first], digests[second]))
        if shared:
            counts[first, second] = shared
    own = digests.pop(train, _digests(()))
    others = np.concatenate([_digests(()), *digests.values()])
    return SharedTexts(counts, np.flatnonzero(np.isin(own, others)))


def text_groups(texts: Iterable[str]) -> Rows:
    """(rows,) int64, alike for rows whose texts are equal character by character."""
    return np.unique(_digests(texts), return_inverse=True)[1].astype(np.int64)


def _digests(texts: Iterable[str]) -> NDArray[np.bytes_]:
    packed = bytearray()
    for text in texts:
        packed += blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    return np.frombuffer(packed, dtype="S16")

"""The names of a dataset's splits, and how much of each is read."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from fusionapp.domain.errors import DatasetError, UsageError

STANDARD_SPLITS = ("train", "validation", "test")


def order_splits(names: Iterable[str]) -> tuple[str, ...]:
    """Train, validation, test, then the others as they came."""
    given = list(dict.fromkeys(names))
    standard = [name for name in STANDARD_SPLITS if name in given]
    return (*standard, *(name for name in given if name not in STANDARD_SPLITS))


def unknown_split(split: str, known: Sequence[str], where: str) -> DatasetError:
    """The error for a split that is not there; says which ones are."""
    return DatasetError(f"{where}: no split {split!r}; the splits there are: {', '.join(known) or 'none'}")


def chosen_splits(there: Collection[str], asked: Sequence[str]) -> Sequence[str]:
    """The splits asked for; all there are where none is.

    Raises:
        UsageError: the dataset has no such split.
    """
    for split in asked:
        if split not in there:
            raise UsageError(f"split {split!r}: the dataset has {', '.join(there)}")
    return asked or list(there)


def drawn_splits(given: Sequence[str]) -> tuple[str, ...]:
    """The splits that are to be drawn from train, as the input has none: validation, or validation and test."""
    if "train" not in given or "validation" in given:
        return ()
    return ("validation",) if "test" in given else ("validation", "test")


def check_limit(limit: int | None) -> None:
    """Refuse to read fewer rows of each split than one; None reads them all.

    Raises:
        UsageError: the limit is below 1.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"dataset.limit: expected at least 1, got {limit}")

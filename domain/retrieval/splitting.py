"""Cutting pairs into train, validation and test by their documents, so that nothing stands in two of them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import zip_longest
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.errors import UsageError

Rows = NDArray[np.int64]

By = Literal["random", "date"]
"""How documents are drawn: by chance, or the latest for test and the latest of the rest for validation."""

TRAIN, VALIDATION, TEST = range(3)

_ISO = re.compile(r"\d{4}(-\d\d(-\d\d([T ].*)?)?)?")
_COMPACT = re.compile(r"\d{8}")
"""Of all dates or of none: 20241231 would sort behind 2024-12-31."""

_NO_WORD = re.compile(r"[\W_]+")


def split_documents(
    queries: Rows,
    documents: Rows,
    names: Sequence[str],
    dates: Sequence[str | None] = (),
    texts: Rows | None = None,
    *,
    test_fraction: float = 0.2,
    validation_fraction: float = 0.1,
    by: By = "random",
    seed: int = 0,
) -> Rows:
    """Which split each pair is in.

    Documents that share a query or a text, directly or through others, form a group, and a group is never cut.
    Test takes groups up to round(test_fraction * documents), passing over those that no longer fit, so that it
    holds just so many wherever enough documents stand alone. Validation takes from the rest in the same way.

    Args:
        queries: (pairs,) the query of each pair, as a number from 0.
        documents: (pairs,) the document of each pair, as a number below ``len(names)``.
        names: of each document; they decide between documents of one date, and make the draw independent of the
            order of the input.
        dates: of each document, in a form that sorts as text (ISO 8601); asked for by "date" alone.
        texts: (documents,) a number of each document's text, alike for documents that must not be parted.
        test_fraction: share of the documents, in [0, 1).
        validation_fraction: share of the documents, test's included, in [0, 1).
        by: "random", or "date": a group goes by its latest document, and the latest groups are test.
        seed: of the random draw.

    Returns:
        (pairs,) int64: 0 train, 1 validation, 2 test.

    Raises:
        UsageError: fractions that leave nothing for train, a document without a date or with one that does not
            sort as text, or groups too large for a split that was asked for.
    """
    _check_fractions(test_fraction, validation_fraction)
    groups = _groups(queries, documents, np.arange(len(names)) if texts is None else texts)
    sizes = np.bincount(groups)
    order = _by_date(groups, names, dates) if by == "date" else _by_chance(groups, names, seed)
    split_of_group = np.full(len(order), TRAIN, dtype=np.int64)
    for split, fraction in ((TEST, test_fraction), (VALIDATION, validation_fraction)):
        free = order[split_of_group[order] == TRAIN]
        split_of_group[free[_fill(sizes[free], round(fraction * len(names)))]] = split
    got = np.bincount(split_of_group, minlength=3)
    asked = {"test": (test_fraction, got[TEST]), "validation": (validation_fraction, got[VALIDATION])}
    short = [name for name, (fraction, groups_in) in asked.items() if fraction > 0 and not groups_in]
    if short or not got[TRAIN]:
        raise UsageError(
            f"{' and '.join(short) or 'train'}: {len(names)} documents in {len(order)} groups that share no query "
            f"(the largest has {sizes.max(initial=0)}) cannot be cut like that; name the splits' own files"
        )
    found: Rows = split_of_group[groups[documents]]
    return found


def near_identical_key(text: str) -> str:
    """What texts have in common that differ in case, white space, punctuation or Unicode form alone.

    A text without any word character is its own key.
    """
    words = _NO_WORD.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()
    return words or text


def _check_fractions(test: float, validation: float) -> None:
    for name, fraction in (("test_fraction", test), ("validation_fraction", validation)):
        if not 0 <= fraction < 1:
            raise UsageError(f"{name} {fraction} is not in [0, 1); use 0.1")
    if test + validation >= 1:
        raise UsageError(f"test_fraction {test} and validation_fraction {validation} leave nothing for train")


def _groups(queries: Rows, documents: Rows, texts: Rows) -> Rows:
    """(documents,) the connected component of each document, over the graph of its queries and its text."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    rows = len(texts)
    first_query = rows + int(texts.max(initial=-1)) + 1
    nodes = first_query + int(queries.max(initial=-1)) + 1
    starts = np.concatenate([documents, np.arange(rows)])
    ends = np.concatenate([first_query + queries, rows + texts])
    graph = coo_array((np.ones(len(starts), dtype=np.int8), (starts, ends)), shape=(nodes, nodes))
    component = connected_components(graph, directed=False)[1][:rows]
    return np.unique(component, return_inverse=True)[1].astype(np.int64)


def _by_chance(groups: Rows, names: Sequence[str], seed: int) -> Rows:
    """Groups in an order drawn by `seed`, whatever the order of the input."""
    rank = _ranks(sorted(range(len(names)), key=names.__getitem__))
    first = np.full(int(groups.max(initial=-1)) + 1, len(names), dtype=np.int64)
    np.minimum.at(first, groups, rank)
    order: Rows = np.argsort(first)[np.random.default_rng(seed).permutation(len(first))]
    return order


def _by_date(groups: Rows, names: Sequence[str], dates: Sequence[str | None]) -> Rows:
    """Groups by their latest (date, name), the latest first."""
    known = [date for date in dates if date]
    if len(known) < len(names):
        missing = next(name for name, date in zip_longest(names, dates) if not date)
        raise UsageError(
            f"document {missing!r} has no date ({len(names) - len(known)} of {len(names)} have none); "
            'name dataset.date, or split by = "random"'
        )
    form = _COMPACT if _COMPACT.fullmatch(known[0]) else _ISO
    odd = next((row for row, date in enumerate(known) if not form.fullmatch(date)), None)
    if odd is not None:
        raise UsageError(
            f"document {names[odd]!r} has the date {known[odd]!r}, which does not sort as text beside {known[0]!r}"
            "; write every date as 2024-12-31 (ISO 8601)"
        )
    rank = _ranks(sorted(range(len(names)), key=lambda row: (known[row], names[row])))
    last = np.full(int(groups.max(initial=-1)) + 1, -1, dtype=np.int64)
    np.maximum.at(last, groups, rank)
    return np.argsort(-last)


def _ranks(order: Sequence[int]) -> Rows:
    rank = np.empty(len(order), dtype=np.int64)
    rank[np.asarray(order, dtype=np.int64)] = np.arange(len(order))
    return rank


def _fill(sizes: Rows, target: int) -> NDArray[np.bool_]:
    """(groups,) bool: taken in order, but for those that no longer fit."""
    taken = np.zeros(len(sizes), dtype=np.bool_)
    room = target
    for group, size in enumerate(sizes.tolist()):
        if not room:
            break
        if size <= room:
            taken[group] = True
            room -= size
    return taken

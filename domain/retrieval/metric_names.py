"""Names of ranking metrics, such as ``mrr@10``, and what can be scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.errors import UsageError


def split_metric(name: str) -> tuple[str, int | None]:
    """``mrr@10`` as ("mrr", 10), ``map`` as ("map", None).

    Raises:
        UsageError: what follows the @ is no whole number from 1 on.
    """
    base, at, cutoff = name.partition("@")
    if not at:
        return base, None
    if not (cutoff.isascii() and cutoff.isdigit()) or int(cutoff) < 1:
        raise UsageError(f"metric {name!r}: {cutoff!r} is no number of hits; write {base}@10")
    return base, int(cutoff)


def check_judged(rows: NDArray[np.int64], relevant: Sequence[Mapping[int, int]]) -> None:
    """Refuse hits that cannot be scored.

    Raises:
        UsageError: there is not one judgement a query, a query has no relevant row or a grade below 1, or a row
            stands twice among its hits.
    """
    if len(rows) != len(relevant):
        raise UsageError(
            f"metrics: {len(rows)} ranked lists and {len(relevant)} judged queries; both must agree"
        )
    for query, grades in enumerate(relevant):
        if not grades or min(grades.values()) < 1:
            raise UsageError(
                f"metrics: query {query} (from 0) has no relevant document or a grade below 1; leave it out"
            )
    ordered = np.sort(rows, axis=1)
    repeated = ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any(axis=1)
    if repeated.any():
        query = int(np.flatnonzero(repeated)[0])
        raise UsageError(f"metrics: query {query} (counted from 0) has a document twice among its hits")

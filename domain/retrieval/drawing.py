"""Drawing the pools of contrastive training: at random, or by quotas of topics; seeded, and open to resuming."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.errors import UsageError
from fusionapp.domain.retrieval.composition import KINDS, Composition, Kind

Rows = NDArray[np.int64]
LOOKAHEAD = 1000
"""How many pairs a pool passes over for one whose texts it does not hold; beyond that it takes what comes."""


@attrs.frozen(eq=False)
class Pool:
    """Pairs whose documents are each other's negatives.

    Attributes:
        rows: (pairs,) int64 pair rows.
        drawn: how many are of each kind of topic; empty where none is asked for.
    """

    rows: Rows
    drawn: Mapping[Kind, int]


def pools_per_epoch(pairs: int, pool: int) -> int:
    """Pools that go once over the pairs. The last one may be smaller; a single pair makes none."""
    return pairs // pool + (pairs % pool >= 2)


def plain_pools(pairs: Rows, pool: int, seed: int, start: int = 0) -> Iterator[Pool]:
    """Pools of pairs as they come, epoch after epoch without end, each in its own random order.

    Two pairs of one query or one document stand in one pool only where the epoch has no others left for it.
    Every pair is drawn once an epoch, but for a single last one.

    Args:
        pairs: (pairs, 2) int64: query row, document row.
        pool: pairs in a pool.
        seed: of the order.
        start: how many pools to pass over: those that follow are the same as without it.

    Raises:
        UsageError: fewer than two pairs.
    """
    if len(pairs) < 2:
        raise UsageError(f"contrastive training: {len(pairs)} training pairs; at least 2 make a pool")
    count = pools_per_epoch(len(pairs), pool)
    epoch, passed = divmod(start, count)
    while True:
        stream = _Stream(np.arange(len(pairs)), pairs, (seed, epoch))
        drawn = (stream.take(pool, (set(), set())) for _ in range(count))
        yield from (Pool(np.array(rows, np.int64), {}) for rows in islice(drawn, passed, None))
        epoch, passed = epoch + 1, 0


def composed_pools(
    pairs: Rows,
    topics: Sequence[str | None],
    composition: Composition,
    pool: int,
    steps: int,
    seed: int,
    start: int = 0,
) -> Iterator[Pool]:
    """Pools of which each kind of topic has its share, as the schedule has it.

    Quotas are whole numbers by largest remainder (Hamilton), counted over the run so far, so that a share of
    less than one pair in a pool is drawn every so many pools. A kind whose pairs are all drawn goes around
    again in a new order, and no pair is drawn twice before. Two pairs of one query or one document share a pool
    only where a kind has no others left before it goes around.

    Args:
        pairs: (pairs, 2) int64: query row, document row.
        topics: (pairs,) of each pair's document.
        composition: which topics, and their shares; without `problems`.
        pool: pairs in a pool.
        steps: pools of the whole run.
        seed: of the order.
        start: how many pools to pass over: those that follow are the same as without it.

    Raises:
        UsageError: a kind with a share has no pair.
    """
    rows_of = rows_by_kind(topics, composition)
    streams = {
        kind: _Stream(rows, pairs, (seed, i), again=True)
        for i, (kind, rows) in enumerate(rows_of.items())
        if len(rows)
    }
    drawn = _composed(streams, composition, pool, steps)
    return islice(drawn, start, None)


def rows_by_kind(topics: Sequence[str | None], composition: Composition) -> dict[Kind, Rows]:
    """The pairs of each kind of topic; those of topics that no kind takes are in none.

    Args:
        topics: (pairs,) of each pair's document.
        composition: without `problems`.

    Raises:
        UsageError: a kind with a share has no pair.
    """
    kinds = np.array([KINDS.index(k) if (k := composition.kind_of(t)) else -1 for t in topics], np.int64)
    rows_of = {kind: np.flatnonzero(kinds == i) for i, kind in enumerate(KINDS)}
    _check_kinds(composition, rows_of)
    return rows_of


def _composed(
    streams: Mapping[Kind, _Stream], composition: Composition, pool: int, steps: int
) -> Iterator[Pool]:
    due = np.zeros(len(streams))
    for step in range(steps):
        given = composition.shares(step, steps)
        shares = np.array([given[kind] for kind in streams])
        due += shares / shares.sum() * pool
        quotas = _largest_remainder(due, pool)
        due -= quotas
        held: tuple[set[int], set[int]] = (set(), set())
        parts = [s.take(int(q), held) for s, q in zip(streams.values(), quotas, strict=True)]
        drawn = dict(zip(streams, map(len, parts), strict=True))
        yield Pool(np.array([row for part in parts for row in part], np.int64), drawn)


def _largest_remainder(due: NDArray[np.float64], total: int) -> Rows:
    """Whole numbers, at least 0, that add up to the total and lie next to what is due; ties to the first."""
    quotas = np.maximum(np.floor(due + 1e-9), 0).astype(np.int64)
    while (rest := total - int(quotas.sum())) != 0:
        gap = (due - quotas).round(9)
        if rest > 0:
            quotas[gap.argmax()] += 1
        else:
            quotas[np.where(quotas > 0, gap, np.inf).argmin()] -= 1
    return quotas


def _check_kinds(composition: Composition, rows_of: Mapping[Kind, Rows]) -> None:
    for kind in KINDS:
        if len(rows_of[kind]) or not any(stage.shares()[kind] for stage in composition.schedule):
            continue
        if kind != "other" or composition.other:
            named = ", ".join(composition.topics(kind))
            raise UsageError(
                f"train.composition.{kind}: no training pair has a topic of {named}; "
                f"name topics of the data or set {kind} = 0 in the schedule"
            )
    for i, stage in enumerate(composition.schedule):
        if not any(stage.shares()[kind] for kind in KINDS if len(rows_of[kind])):
            raise UsageError(f"train.composition.schedule[{i}]: no training pair is of a kind with a share")


class _Stream:
    """Some of the pairs in random order, once or again and again."""

    def __init__(self, rows: Rows, pairs: Rows, seed: tuple[int, int], again: bool = False) -> None:
        self._rows = rows
        self._queries: list[int] = pairs[:, 0].tolist()
        self._documents: list[int] = pairs[:, 1].tolist()
        self._rng = np.random.default_rng(seed)
        self._again = again
        self._left: deque[int] = deque(self._order())

    def take(self, count: int, held: tuple[set[int], set[int]]) -> list[int]:
        """The next pairs whose query and document are not held yet; they are held from then on."""
        taken: list[int] = []
        while len(taken) < count:
            if not self._left:
                if not self._again:
                    break
                self._left.extend(self._order())
            self._fill(taken, count, held)
        return taken

    def _fill(self, taken: list[int], count: int, held: tuple[set[int], set[int]]) -> None:
        """Take what there is in this order; pairs that do not fit are first in turn for the next pool."""
        queries, documents = held
        passed: list[int] = []
        while self._left and len(taken) < count and len(passed) < LOOKAHEAD:
            row = self._left.popleft()
            if self._queries[row] in queries or self._documents[row] in documents:
                passed.append(row)
            else:
                self._hold(row, taken, held)
        needed = count - len(taken)
        for row in passed[:needed]:
            self._hold(row, taken, held)
        self._left.extendleft(reversed(passed[needed:]))

    def _hold(self, row: int, taken: list[int], held: tuple[set[int], set[int]]) -> None:
        taken.append(row)
        held[0].add(self._queries[row])
        held[1].add(self._documents[row])

    def _order(self) -> list[int]:
        order: list[int] = self._rng.permutation(self._rows).tolist()
        return order

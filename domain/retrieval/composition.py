"""Of which topics the pools of contrastive training are made, and how that changes over the run."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Literal, get_args

import attrs
import numpy as np
from attrs.validators import and_, ge, gt, le
from numpy.typing import NDArray

from fusionapp.domain.settings import setting

Kind = Literal["main", "soft", "hard", "cross_domain", "other"]
"""How a topic stands to the one that is searched in: itself, near, nearer still, another field, anything else."""

KINDS: tuple[Kind, ...] = get_args(Kind)


@attrs.frozen
class Stage:
    """One entry of ``train.composition.schedule``: each kind's share of a pool until a point of the run."""

    until: float = setting(
        "share of all steps at which the stage ends; the last one's is 1", 1.0, and_(gt(0.0), le(1.0))
    )
    main: float = setting("share of pairs of the main topics", 0.5, ge(0.0))
    soft: float = setting("share of soft negatives' topics", 0.2, ge(0.0))
    hard: float = setting("share of hard negatives' topics", 0.2, ge(0.0))
    cross_domain: float = setting("share of cross-domain topics", 0.05, ge(0.0))
    other: float = setting("share of all other topics", 0.05, ge(0.0))


@attrs.frozen
class Composition:
    """The ``[train.composition]`` table."""

    main: tuple[str, ...] = setting("topics that are searched in")
    soft: tuple[str, ...] = setting("topics near them", ())
    hard: tuple[str, ...] = setting("topics that are hard to tell from them", ())
    cross_domain: tuple[str, ...] = setting("topics of other fields", ())
    other: tuple[str, ...] = setting("topics without relation; default: every topic that is not named", ())
    schedule: tuple[Stage, ...] = setting("shares over the run, one stage after the other", (Stage(),))

    def kind_of(self, topic: str | None) -> Kind:
        """The kind that names a topic; "other" for one that none names."""
        for kind in KINDS:
            if topic is not None and topic in getattr(self, kind):
                return kind
        return "other"

    def shares(self, position: float) -> NDArray[np.float64]:
        """(kinds,) shares of a pool at a point of the run in [0, 1), in the order of `KINDS`; they sum to 1."""
        stage = next((stage for stage in self.schedule if position < stage.until), self.schedule[-1])
        weights = np.array([getattr(stage, kind) for kind in KINDS])
        return weights / weights.sum()

    def problems(self) -> list[str]:
        """What does not go together, one line each, starting with the key's path."""
        found = []
        named = [topic for kind in KINDS for topic in getattr(self, kind)]
        for topic in sorted({topic for topic in named if named.count(topic) > 1}):
            found.append(f"train.composition: topic {topic!r} is named twice; leave it in one list")
        if not self.main:
            found.append("train.composition.main: names no topic; list those that are searched in")
        if not self.schedule:
            return [*found, "train.composition.schedule: is empty; give one stage until = 1.0"]
        ends = [stage.until for stage in self.schedule]
        if any(later <= earlier for earlier, later in pairwise(ends)) or ends[-1] != 1.0:
            found.append(f"train.composition.schedule: stages end at {ends}; let them rise to 1.0")
        for number, stage in enumerate(self.schedule):
            key = f"train.composition.schedule.{number}"
            if not sum(getattr(stage, kind) for kind in KINDS) > 0:
                found.append(f"{key}: every share is 0; raise one")
            found += [
                f"{key}.{kind}: {getattr(stage, kind)} of a pool, but train.composition.{kind} names no topic"
                for kind in KINDS[:-1]
                if getattr(stage, kind) > 0 and not getattr(self, kind)
            ]
        return found


def quotas(shares: NDArray[np.float64], size: int) -> NDArray[np.int64]:
    """How many of `size` fall to each share, by largest remainders (Hamilton); of equal ones the first.

    Args:
        shares: (kinds,) at least 0, with sum 1.
        size: how many there are to give.

    Returns:
        (kinds,) int64 with sum `size`; each within 1 of its share.
    """
    exact = shares * size
    given = np.floor(exact + 1e-9).astype(np.int64)
    order = np.argsort(-(exact - given), kind="stable")
    given[order[: size - int(given.sum())]] += 1
    return given


def compose_pools(
    topics: Sequence[str | None],
    documents: NDArray[np.int64],
    composition: Composition,
    size: int,
    pools: int,
    random: np.random.Generator,
) -> Iterator[tuple[NDArray[np.int64], dict[Kind, int]]]:
    """Pools of pairs by quotas of their documents' topics.

    A kind's pairs come in a random order, and in a new one once all of them were drawn. A kind that has no pair
    leaves its share to the others. A pair whose document stands in the pool already waits for the next one, as far
    as its kind has others.

    Args:
        topics: of each pair's document.
        documents: (pairs,) each pair's document row.
        composition: the quotas.
        size: pairs in a pool.
        pools: how many pools the run has.
        random: draws.

    Yields:
        (size,) int64 rows of pairs, and how many are of each kind.
    """
    members: dict[Kind, list[int]] = {kind: [] for kind in KINDS}
    for pair, topic in enumerate(topics):
        members[composition.kind_of(topic)].append(pair)
    present = np.array([bool(members[kind]) for kind in KINDS])
    waiting: dict[Kind, deque[int]] = {kind: deque() for kind in KINDS}
    for number in range(pools):
        shares = composition.shares(number / pools) * present
        if not shares.sum():
            shares = present.astype(np.float64)
        counts = quotas(shares / shares.sum(), size)
        taken: list[int] = []
        there: set[int] = set()
        for kind, count in zip(KINDS, counts.tolist(), strict=True):
            taken += _take(members[kind], waiting[kind], count, documents, there, random)
        yield np.array(taken, dtype=np.int64), dict(zip(KINDS, counts.tolist(), strict=True))


def _take(
    members: Sequence[int],
    waiting: deque[int],
    count: int,
    documents: NDArray[np.int64],
    there: set[int],
    random: np.random.Generator,
) -> list[int]:
    """So many pairs of a kind, of documents that are not in the pool as far as there are such."""
    taken: list[int] = []
    passed: deque[int] = deque()
    while len(taken) < count:
        if waiting and documents[waiting[0]] in there:
            passed.append(waiting.popleft())
            continue
        if not waiting and not passed:
            waiting.extend(random.permutation(members).tolist())
            continue
        pair = waiting.popleft() if waiting else passed.popleft()
        there.add(int(documents[pair]))
        taken.append(pair)
    waiting.extendleft(reversed(passed))
    return taken

"""Which pairs make each pool: as they come, or by shares of kinds of topics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.errors import UsageError
from fusionapp.domain.retrieval.composition import Composition, Kind, Stage

Rows = NDArray[np.int64]
KINDS: tuple[Kind, ...] = get_args(Kind)


def rows_by_kind(composition: Composition, topics: Sequence[str | None]) -> dict[Kind, Rows]:
    """Rows of pairs by the kind of their topic; kinds without any are left out.

    Args:
        composition: says which topic is of which kind. Where it names no other topics, every topic that it does
            not name is one.
        topics: of each pair's document.

    Raises:
        UsageError: a topic is of two kinds, or no pair has it; no pair is of a main topic.
    """
    named: dict[str, Kind] = {}
    for kind in KINDS:
        for topic in getattr(composition, kind):
            if topic in named:
                raise UsageError(
                    f"train.composition.{kind}: {topic!r} is among {named[topic]}, too; name it once"
                )
            named[topic] = kind
    known = {topic for topic in topics if topic is not None}
    unknown = sorted(named.keys() - known)
    if unknown:
        raise UsageError(
            f"train.composition.{named[unknown[0]]}: no pair has the topic {unknown[0]!r}; there are "
            f"{', '.join(sorted(known)[:20]) or 'none'}"
        )
    rest: Kind | None = None if composition.other else "other"
    kinds = [named.get(topic, rest) if topic is not None else rest for topic in topics]
    found: dict[Kind, Rows] = {
        kind: np.array([row for row, each in enumerate(kinds) if each == kind], dtype=np.int64)
        for kind in KINDS
    }
    if not len(found["main"]):
        raise UsageError("train.composition.main: no pair is of a main topic; name at least one")
    return {kind: rows for kind, rows in found.items() if len(rows)}


def stage_at(schedule: Sequence[Stage], done: float) -> Stage:
    """The stage of a point of the run.

    Args:
        schedule: stages, whose ends ascend to 1.
        done: share of all steps before this one, in [0, 1).

    Raises:
        UsageError: the ends do not ascend to 1.
    """
    ends = [stage.until for stage in schedule]
    if not ends or sorted(set(ends)) != ends or ends[-1] != 1.0:
        raise UsageError(
            f"train.composition.schedule: until = {ends} must rise from stage to stage, to 1 at last"
        )
    return next(stage for stage in schedule if done < stage.until)


def quotas(stage: Stage, kinds: Sequence[Kind], size: int) -> dict[Kind, int]:
    """How many pairs of each kind a pool of `size` takes, by largest remainders.

    Shares of kinds that no pair has go to the others in proportion.

    Raises:
        UsageError: all these kinds' shares are 0.
    """
    shares = np.array([getattr(stage, kind) for kind in kinds], dtype=np.float64)
    if not shares.sum() > 0:
        raise UsageError(
            f"train.composition.schedule: the stage until {stage.until:g} gives no share to {', '.join(kinds)}"
        )
    exact = shares / shares.sum() * size
    counts = np.floor(exact).astype(np.int64)
    order = np.argsort(counts - exact, kind="stable")
    counts[order[: size - int(counts.sum())]] += 1
    return dict(zip(kinds, counts.tolist(), strict=True))


class KindDrawer:
    """Draws pools by quotas; each kind goes round in a new order every time that all its pairs were drawn."""

    def __init__(
        self, composition: Composition, topics: Sequence[str | None], random: np.random.Generator
    ) -> None:
        """Set up; see `rows_by_kind` for what is raised."""
        self._schedule = composition.schedule
        self._rows = rows_by_kind(composition, topics)
        self._random = random
        self._waiting: dict[Kind, Rows] = {kind: rows[:0] for kind, rows in self._rows.items()}
        stage_at(self._schedule, 0.0)

    def draw(self, done: float, size: int) -> tuple[Rows, Mapping[Kind, int]]:
        """One pool.

        Args:
            done: share of all steps before this one.
            size: pairs.

        Returns:
            (size,) rows, and how many of each kind they are. A kind of fewer pairs than its quota repeats them.
        """
        counts = quotas(stage_at(self._schedule, done), list(self._rows), size)
        rows = np.concatenate([self._take(kind, count) for kind, count in counts.items()])
        return rows, counts

    def _take(self, kind: Kind, count: int) -> Rows:
        waiting = self._waiting[kind]
        while len(waiting) < count:
            waiting = np.concatenate([waiting, self._random.permutation(self._rows[kind])])
        self._waiting[kind] = waiting[count:]
        return waiting[:count]

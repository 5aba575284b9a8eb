"""Of which topics the pools of contrastive training are made, and how that changes over the run."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, get_args

import attrs
from attrs.validators import and_, ge, gt, le

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

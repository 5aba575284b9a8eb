"""Of which topics the pools of contrastive training are made, and how that changes over the run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
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

    def shares(self) -> Mapping[Kind, float]:
        """Each kind's share, adding up to 1; all 0 where the stage gives none."""
        given: dict[Kind, float] = {kind: getattr(self, kind) for kind in KINDS}
        total = sum(given.values())
        return {kind: share / total if total else 0.0 for kind, share in given.items()}


@attrs.frozen
class Composition:
    """The ``[train.composition]`` table."""

    main: tuple[str, ...] = setting("topics that are searched in; q-bio takes q-bio.NC and its like, too")
    soft: tuple[str, ...] = setting("topics near them", ())
    hard: tuple[str, ...] = setting("topics that are hard to tell from them", ())
    cross_domain: tuple[str, ...] = setting("topics of other fields", ())
    other: tuple[str, ...] = setting("topics without relation; default: every topic that is not named", ())
    schedule: tuple[Stage, ...] = setting("shares over the run, one stage after the other", (Stage(),))

    def problems(self) -> list[str]:
        """What does not go together, one line each, starting with the key."""
        where = "train.composition"
        found = [] if self.schedule else [f"{where}.schedule: no stage; give at least one"]
        counts = Counter(topic for kind in KINDS for topic in self.topics(kind))
        for topic in (topic for topic, count in counts.items() if count > 1):
            kinds = ", ".join(kind for kind in KINDS for named in self.topics(kind) if named == topic)
            found.append(f"{where}: topic {topic!r} is named in {kinds}; name it once")
        ends = [stage.until for stage in self.schedule]
        if any(later <= earlier for earlier, later in pairwise(ends)):
            found.append(f"{where}.schedule: stages end at {ends}; each must end after the one before it")
        if ends and ends[-1] != 1.0:
            found.append(f"{where}.schedule: the last stage ends at {ends[-1]}; set its until = 1.0")
        for i, stage in enumerate(self.schedule):
            key, shares = f"{where}.schedule[{i}]", stage.shares()
            if not any(shares.values()):
                found.append(f"{key}: every share is 0; give main a share")
            found += [
                f"{key}.{kind}: share {getattr(stage, kind)}, but {where}.{kind} names no topic; "
                f"name one or set {kind} = 0"
                for kind in KINDS
                if shares[kind] > 0 and kind != "other" and not self.topics(kind)
            ]
        return found

    def topics(self, kind: Kind) -> tuple[str, ...]:
        """The topics named for a kind."""
        named: tuple[str, ...] = getattr(self, kind)
        return named

    def kind_of(self, topic: str | None) -> Kind | None:
        """How a topic stands to the main ones; None for one that no kind takes, which is never drawn.

        A name takes the topics below it as well, unless they are named themselves: arXiv's archive "q-bio" is
        the "q-bio" of "q-bio.NC". Without named `other` topics every topic that is not named is one, and so is
        a missing topic.
        """
        for name in dict.fromkeys((topic, (topic or "").partition(".")[0])):
            for kind in KINDS:
                if name in self.topics(kind):
                    return kind
        return None if self.other else "other"

    def shares(self, step: int, steps: int) -> Mapping[Kind, float]:
        """Each kind's share of the pool of one step of a run.

        Args:
            step: from 0.
            steps: of the whole run, more than `step`.
        """
        done = (step + 0.5) / steps  # the step's middle: a stage of half a run has half its steps, rounded
        return next(s for s in self.schedule if done <= s.until or s is self.schedule[-1]).shares()

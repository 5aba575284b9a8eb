"""Where a run stands: what its checkpoints hold beside tensors."""

from __future__ import annotations

from typing import Any

import attrs


@attrs.define
class Standing:
    """Counted up as a run goes.

    Attributes:
        step: optimizer steps done.
        best_step: the step whose weights are the best so far.
        best: validation metrics there.
        untuned: validation metrics before the first step.
        stale: scorings since the best one.
        seconds: spent in steps.
        stopped: whether patience has run out.
        drawn: pairs drawn by kind of topic.
    """

    step: int = 0
    best_step: int = 0
    best: dict[str, float] = attrs.field(factory=dict)
    untuned: dict[str, float] = attrs.field(factory=dict)
    stale: int = 0
    seconds: float = 0.0
    stopped: bool = False
    drawn: dict[str, int] = attrs.field(factory=dict)

    def score(self, metrics: dict[str, float], patience: int) -> bool:
        """Take a scoring into account; whether it is the best so far."""
        if self.step == 0:
            self.untuned = metrics
        if self.best and metrics["mrr@10"] <= self.best["mrr@10"]:
            self.stale += 1
            self.stopped = self.stale >= patience
            return False
        self.best_step, self.best, self.stale = self.step, metrics, 0
        return True

    def as_json(self) -> dict[str, Any]:
        """Its attributes by name."""
        return attrs.asdict(self)

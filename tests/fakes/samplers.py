"""Samplers that need no library."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from fusionapp.application.ports.trial_sampler import Trial, TrialSampler
from fusionapp.domain.search import Parameter, Span, Values


class RandomSampler(TrialSampler):
    """Draws evenly, and learns nothing."""

    def propose(self, space: Sequence[Parameter], trials: Sequence[Trial], seed: int) -> Values:
        random = Random(f"{seed} {len(trials)}")
        return {
            one.key: random.uniform(one.low, one.high)
            if isinstance(one, Span)
            else random.choice(one.options)
            for one in space
        }

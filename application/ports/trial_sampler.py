"""Choosing what to try next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import attrs

from fusionapp.domain.search import Parameter, Values


@attrs.frozen
class Trial:
    """Settings that were tried.

    Attributes:
        values: by dotted key.
        score: mean over seeds of the validation metric, more being better (a loss has its sign turned); None
            where the settings could not be trained.
        by_seed: the same for each seed.
        seconds: training time.
        problem: why they could not be trained.
    """

    values: Values
    score: float | None
    by_seed: tuple[float, ...] = ()
    seconds: float = 0.0
    problem: str = ""


class TrialSampler(Protocol):
    """Proposes settings by what earlier ones came to."""

    def propose(self, space: Sequence[Parameter], trials: Sequence[Trial], seed: int) -> Values:
        """The next settings to try; the same trials and seed give the same, so that a search can be resumed.

        Args:
            space: what may change.
            trials: what was tried, in order.
            seed: of the search.
        """

"""Several trackers at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from fusionapp.application.ports.tracker import Tracker


class FanOutTracker(Tracker):
    """Passes everything on to each tracker, in order; to none of them it is silence."""

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        self._trackers = tuple(trackers)

    def log(self, run: str, step: int, metrics: Mapping[str, float]) -> None:
        """See `Tracker.log`."""
        for tracker in self._trackers:
            tracker.log(run, step, metrics)

    def close(self) -> None:
        """Close every tracker, even where one of them fails."""
        with ExitStack() as stack:
            for tracker in reversed(self._trackers):
                stack.callback(tracker.close)

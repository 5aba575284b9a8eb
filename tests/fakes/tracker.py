"""A tracker that remembers."""

from __future__ import annotations

from collections.abc import Mapping

from fusionapp.application.ports.tracker import Tracker


class RecordingTracker(Tracker):
    """Keeps what was logged, in order, as (run, step, metrics)."""

    def __init__(self) -> None:
        self.logged: list[tuple[str, int, dict[str, float]]] = []
        self.closed = False

    def log(self, run: str, step: int, metrics: Mapping[str, float]) -> None:
        self.logged.append((run, step, dict(metrics)))

    def close(self) -> None:
        self.closed = True

"""TensorBoard event files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fusionapp.application.ports.tracker import Tracker
from fusionapp.domain.errors import UsageError


class TensorBoardTracker(Tracker):
    """Writes each run as a directory of its own, so that TensorBoard draws runs as curves of one chart."""

    def __init__(self, directory: str | Path) -> None:
        """Name the directory that ``tensorboard --logdir`` is pointed at.

        Raises:
            UsageError: TensorBoard is not installed.
        """
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise UsageError(
                "tracker 'tensorboard' needs the extra `track` of fusionapp; install it, or do without"
            ) from error
        self._open = SummaryWriter
        self._directory = Path(directory)
        self._writers: dict[str, Any] = {}

    def log(self, run: str, step: int, metrics: Mapping[str, float]) -> None:
        """See `Tracker.log`.

        Raises:
            UsageError: a run whose name leaves the directory.
        """
        if run not in self._writers:
            directory = (self._directory / run).resolve()
            if not directory.is_relative_to(self._directory.resolve()):
                raise UsageError(f"tracker: run {run!r} is not a name under {self._directory}")
            self._writers[run] = self._open(str(directory))
        for name, value in metrics.items():
            self._writers[run].add_scalar(name, value, step)

    def close(self) -> None:
        """See `Tracker.close`."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

"""Following a training run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Tracker(Protocol):
    """Takes the numbers of each epoch."""

    def log(self, run: str, step: int, metrics: Mapping[str, float]) -> None:
        """Metrics of one step (epoch) of one run (``seed-0``): train_loss, validation_accuracy, ..."""

    def close(self) -> None:
        """Write out what is held back."""

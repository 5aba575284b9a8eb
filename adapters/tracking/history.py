"""A history file: JSON lines or CSV, by its suffix."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from json import dumps
from pathlib import Path
from typing import TextIO

from fusionapp.application.ports.tracker import Tracker
from fusionapp.domain.errors import ResourceError, UsageError

_COLUMNS = ("run", "step", "metric", "value")


class HistoryTracker(Tracker):
    """Appends each step as it comes, so that a killed run keeps its history.

    ``.jsonl`` holds one object a step, ``{"run", "step", metric: value, ...}``; ``.csv`` one metric a row
    (run, step, metric, value), since runs need not share their metrics. A number not finite is null or empty.
    """

    def __init__(self, path: str | Path) -> None:
        """Name the file; it is opened by the first `log`.

        Raises:
            UsageError: another suffix than ``.jsonl`` or ``.csv``.
        """
        self._path = Path(path)
        self._file: TextIO | None = None
        if self._path.suffix not in (".jsonl", ".csv"):
            raise UsageError(f"tracker: {self._path.name!r} is neither .jsonl nor .csv; rename it")

    def log(self, run: str, step: int, metrics: Mapping[str, float]) -> None:
        """See `Tracker.log`; the line is flushed.

        Raises:
            ResourceError: the file cannot be written.
        """
        finite = {
            name: float(value) if abs(value) < float("inf") else None for name, value in metrics.items()
        }
        try:
            file = self._opened()
            if self._path.suffix == ".csv":
                csv.writer(file).writerows([run, step, name, value] for name, value in finite.items())
            else:
                file.write(dumps({"run": run, "step": step, **finite}) + "\n")
            file.flush()
        except OSError as error:
            raise ResourceError(f"{self._path}: cannot be written ({error.strerror})") from error

    def close(self) -> None:
        """See `Tracker.close`."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _opened(self) -> TextIO:
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("a", encoding="utf-8", newline="")
            if self._path.suffix == ".csv" and not self._file.tell():
                csv.writer(self._file).writerow(_COLUMNS)
        return self._file

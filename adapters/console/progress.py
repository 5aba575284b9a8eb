"""Progress bars on stderr, and silence where nobody watches."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fusionapp.application.ports.progress import Progress

if TYPE_CHECKING:
    from rich.progress import Progress as RichBars, TaskID


class SilentProgress:
    """A `Progress` that shows nothing."""

    @contextmanager
    def task(self, name: str, total: int, unit: str, done: int = 0) -> Iterator[SilentTask]:
        """A bar that nobody sees."""
        yield SilentTask()


class SilentTask:
    """A bar that nobody sees."""

    def advance(self, amount: int, **rates: float) -> None:
        """Nothing."""


class RichProgress:
    """A `Progress` of bars on stderr, with rates and time left; a bar within a bar stands below it."""

    def __init__(self) -> None:
        self._bars: RichBars | None = None

    @contextmanager
    def task(self, name: str, total: int, unit: str, done: int = 0) -> Iterator[RichTask]:
        """A bar of `total` units."""
        if self._bars is not None:
            task = self._bars.add_task(name, total=total, completed=done, rates="")
            yield RichTask(self._bars, task, unit)
            self._bars.remove_task(task)
            return
        from rich import progress as rich_progress
        from rich.console import Console

        columns = (
            rich_progress.TextColumn("{task.description}"),
            rich_progress.BarColumn(bar_width=30),
            rich_progress.MofNCompleteColumn(),
            rich_progress.TextColumn("{task.fields[rates]}"),
            rich_progress.TimeRemainingColumn(),
        )
        with rich_progress.Progress(*columns, console=Console(stderr=True)) as bars:
            self._bars = bars
            try:
                yield RichTask(bars, bars.add_task(name, total=total, completed=done, rates=""), unit)
            finally:
                self._bars = None


class RichTask:
    """One bar, with units and tokens a second."""

    def __init__(self, bars: RichBars, task: TaskID, unit: str) -> None:
        self._bars, self._task, self._unit = bars, task, unit
        self._units, self._tokens = 0, 0.0
        self._others: dict[str, float] = {}
        self._start = bars.get_time()

    def advance(self, amount: int, **rates: float) -> None:
        """Move the bar and renew its rates."""
        self._units += amount
        self._tokens += rates.pop("tokens", 0.0)
        seconds = max(self._bars.get_time() - self._start, 1e-9)
        shown = [f"{self._units / seconds:,.0f} {self._unit}/s"]
        if self._tokens:
            shown.append(f"{self._tokens / seconds:,.0f} tokens/s")
        self._others |= rates  # what is told once in a while stays in sight
        shown += [f"{name} {value:.4g}" for name, value in self._others.items()]
        self._bars.update(self._task, advance=amount, rates=" · ".join(shown))


def choose_progress(quiet: bool) -> Progress:
    """Bars where a person watches stderr, else silence."""
    return RichProgress() if sys.stderr.isatty() and not quiet else SilentProgress()

"""What every tracker promises, and what each of them writes."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.tracker import RecordingTracker

from fusionapp.adapters.tracking.fan_out import FanOutTracker
from fusionapp.adapters.tracking.history import HistoryTracker
from fusionapp.adapters.tracking.tensorboard import TensorBoardTracker
from fusionapp.application.ports.tracker import Tracker
from fusionapp.domain.errors import UsageError

TRACKERS: dict[str, Callable[[Path], Tracker]] = {
    "jsonl": lambda folder: HistoryTracker(folder / "deep" / "history.jsonl"),
    "csv": lambda folder: HistoryTracker(folder / "deep" / "history.csv"),
    "tensorboard": lambda folder: TensorBoardTracker(folder / "deep" / "events"),
    "fan-out": lambda folder: FanOutTracker([RecordingTracker(), HistoryTracker(folder / "history.jsonl")]),
    "fan-out-to-none": lambda _: FanOutTracker([]),
    "recording": lambda _: RecordingTracker(),
}


@pytest.fixture(params=TRACKERS, name="tracker")
def _tracker(request: pytest.FixtureRequest, tmp_path: Path) -> Tracker:
    return TRACKERS[request.param](tmp_path)


def test_runs_with_different_metrics_are_taken(tracker: Tracker) -> None:
    tracker.log("seed-0", 1, {"train_loss": 0.5, "validation_accuracy": 0.25})
    tracker.log("seed-1", 1, {"train_loss": 0.75})
    tracker.close()


def test_a_number_that_is_not_finite_is_taken(tracker: Tracker) -> None:
    tracker.log("seed-0", 1, {"train_loss": float("nan"), "validation_loss": float("inf")})
    tracker.close()


def test_closing_twice_or_unused_is_harmless(tracker: Tracker) -> None:
    tracker.close()
    tracker.close()


def test_json_lines_are_on_disk_before_the_tracker_is_closed(tmp_path: Path) -> None:
    tracker = HistoryTracker(tmp_path / "history.jsonl")
    tracker.log("seed-0", 3, {"train_loss": 0.5, "validation_loss": float("nan")})
    line = json.loads((tmp_path / "history.jsonl").read_text(encoding="utf-8"))
    tracker.close()
    assert line == {"run": "seed-0", "step": 3, "train_loss": 0.5, "validation_loss": None}


def test_a_second_csv_tracker_appends_below_one_header(tmp_path: Path) -> None:
    for step in (1, 2):
        tracker = HistoryTracker(tmp_path / "history.csv")
        tracker.log("seed-0", step, {"train_loss": 0.5})
        tracker.close()
    with (tmp_path / "history.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["run", "step", "metric", "value"],
        ["seed-0", "1", "train_loss", "0.5"],
        ["seed-0", "2", "train_loss", "0.5"],
    ]


def test_a_history_of_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"history\.txt"):
        HistoryTracker(tmp_path / "history.txt")


def test_tensorboard_reads_back_what_was_logged(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tracker = TensorBoardTracker(tmp_path)
    tracker.log("seed-0", 1, {"train_loss": 0.5})
    tracker.log("seed-0", 2, {"train_loss": 0.25})
    tracker.close()
    events = EventAccumulator(str(tmp_path / "seed-0")).Reload().Scalars("train_loss")
    assert [(event.step, event.value) for event in events] == [(1, 0.5), (2, 0.25)]


def test_without_tensorboard_the_error_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in [name for name in sys.modules if name.startswith(("tensorboard", "torch.utils.tensorboard"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(UsageError, match="extra `track`"):
        TensorBoardTracker(tmp_path)


def test_a_run_name_cannot_leave_the_directory(tmp_path: Path) -> None:
    tracker = TensorBoardTracker(tmp_path / "events")
    with pytest.raises(UsageError, match=r"\.\./out"):
        tracker.log("../out", 1, {"loss": 1.0})


def test_fan_out_closes_every_tracker_even_where_one_fails() -> None:
    class FailingTracker(RecordingTracker):
        def close(self) -> None:
            raise OSError("disk")

    last = RecordingTracker()
    with pytest.raises(OSError, match="disk"):
        FanOutTracker([FailingTracker(), last]).close()
    assert last.closed

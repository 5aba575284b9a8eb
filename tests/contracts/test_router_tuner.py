"""What every tuner of a router's encoder promises."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.router_tuners import PromisedRouterTuner
from fakes.tracker import RecordingTracker
from router_tuning import torch_tuner, tune, tuned_by

from fusionapp.application.ports.router_tuner import RouterEncoderTuner
from fusionapp.domain.errors import UsageError

pytest.importorskip("peft", reason="the extra `tune` is not installed")

SHORT = tuned_by(tuning={"epochs": 2})
TUNERS = {"torch": lambda: torch_tuner("bert"), "promised": PromisedRouterTuner}


@pytest.fixture(params=TUNERS, name="tuner")
def _tuner(request: pytest.FixtureRequest) -> RouterEncoderTuner:
    tuner: RouterEncoderTuner = TUNERS[request.param]()
    return tuner


def test_what_was_saved_is_described_and_what_was_not_is_not(
    tuner: RouterEncoderTuner, tmp_path: Path
) -> None:
    tuned = tune(tuner, tmp_path, recipe=SHORT)
    assert 0 <= tuned.best_step <= tuned.steps
    assert (tuned.table is not None) == (tuned.best_step > 0) == (tmp_path / "model").is_dir()


def test_both_encoders_are_judged_and_the_kept_one_is_no_worse(
    tuner: RouterEncoderTuner, tmp_path: Path
) -> None:
    tuned = tune(tuner, tmp_path, recipe=SHORT)
    assert set(tuned.validation) == set(tuned.untuned) == {"quality", "pairwise_accuracy", "loss"}
    assert tuned.validation["quality"] >= tuned.untuned["quality"]


def test_the_start_is_tracked_as_step_0(tuner: RouterEncoderTuner, tmp_path: Path) -> None:
    tracker = RecordingTracker()
    tune(tuner, tmp_path, recipe=SHORT, tracker=tracker)
    steps = [step for run, step, _ in tracker.logged if run == "encoder"]
    assert steps[0] == 0
    assert steps[-1] > 0


def test_what_is_trained_is_counted(tuner: RouterEncoderTuner, tmp_path: Path) -> None:
    preflight = tune(tuner, tmp_path, recipe=SHORT).preflight
    assert 0 < preflight.trainable <= preflight.parameters
    assert preflight.method == "full"


def test_an_encoder_that_the_prompts_lack_is_refused(tuner: RouterEncoderTuner, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no dense embeddings of 'other'"):
        tune(tuner, tmp_path, recipe=SHORT, encoder="other")

"""What every encoder tuner promises."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from fakes.heads import CountingProgress
from fakes.tracker import RecordingTracker
from fakes.tuners import WordWeightTuner
from tiny_models import tiny_model
from tuning_pairs import recipe, toy_pairs

from fusionapp.adapters.huggingface.tuning.settings import EncoderSettings
from fusionapp.adapters.huggingface.tuning.tuner import HuggingFaceTuner
from fusionapp.application.ports.encoder_tuner import EncoderTuner, TunedEncoder
from fusionapp.domain.errors import UsageError

TUNERS: dict[str, Callable[[], EncoderTuner]] = {
    "bert": lambda: HuggingFaceTuner(EncoderSettings(str(tiny_model("bert")))),
    "words": WordWeightTuner,
}


@pytest.fixture(params=TUNERS, name="tuner")
def _tuner(request: pytest.FixtureRequest) -> EncoderTuner:
    return TUNERS[request.param]()


def tune(
    tuner: EncoderTuner, folder: Path, tracker: RecordingTracker | None = None, **changes: Any
) -> TunedEncoder:
    return tuner.tune(
        recipe(**changes),
        0,
        toy_pairs(),
        toy_pairs(24, seed=1),
        str(folder),
        tracker or RecordingTracker(),
        CountingProgress(),
    )


def test_a_learnable_toy_is_learned(tuner: EncoderTuner, tmp_path: Path) -> None:
    tuned = tune(tuner, tmp_path)
    assert tuned.validation["mrr@10"] > tuned.untuned["mrr@10"]


def test_the_result_says_what_was_done(tuner: EncoderTuner, tmp_path: Path) -> None:
    tuned = tune(tuner, tmp_path)
    assert tuned.directory == str(tmp_path / "model")
    assert tuned.steps == 6 * (48 // 8)
    assert 0 < tuned.best_step <= tuned.steps
    assert {"mrr@10", "loss"} == set(tuned.validation) == set(tuned.untuned)
    assert tuned.preflight.trainable <= tuned.preflight.parameters
    assert tuned.seconds > 0
    assert tuned.pairs_per_second > 0
    assert tuned.peak_memory_bytes > 0


def test_the_directory_holds_the_model_and_nothing_half_done(tuner: EncoderTuner, tmp_path: Path) -> None:
    tune(tuner, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_the_same_inputs_give_the_same_bytes(tuner: EncoderTuner, tmp_path: Path) -> None:
    tune(tuner, tmp_path / "one")
    tune(tuner, tmp_path / "two")
    for path in (tmp_path / "one" / "model").rglob("*"):
        if path.is_file():
            other = tmp_path / "two" / path.relative_to(tmp_path / "one")
            assert path.read_bytes() == other.read_bytes(), path.name


def test_steps_and_scorings_reach_the_tracker(tuner: EncoderTuner, tmp_path: Path) -> None:
    tracker = RecordingTracker()
    tuned = tune(tuner, tmp_path, tracker)
    assert {run for run, _, _ in tracker.logged} == {"seed-0"}
    trained = [step for _, step, metrics in tracker.logged if "train_loss" in metrics]
    assert trained == list(range(1, tuned.steps + 1))
    scored = {step: metrics for _, step, metrics in tracker.logged if "validation_mrr@10" in metrics}
    assert {0, tuned.steps} <= set(scored)
    assert scored[tuned.best_step]["validation_mrr@10"] == tuned.validation["mrr@10"]
    assert scored[0]["validation_mrr@10"] == tuned.untuned["mrr@10"]


def test_the_progress_bar_ends_full(tuner: EncoderTuner, tmp_path: Path) -> None:
    progress = CountingProgress()
    tuner.tune(recipe(), 0, toy_pairs(), toy_pairs(24, seed=1), str(tmp_path), RecordingTracker(), progress)
    assert [task.done for task in progress.tasks] == [task.total for task in progress.tasks]


def test_fewer_pairs_than_a_pool_are_refused(tuner: EncoderTuner) -> None:
    with pytest.raises(UsageError, match=r"negatives_pool.*7"):
        tuner.preflight(recipe(), 7)


def test_training_without_validation_pairs_is_refused(tuner: EncoderTuner, tmp_path: Path) -> None:
    nothing = attrs.evolve(toy_pairs(8), pairs=np.zeros((0, 2), dtype=np.int64))
    with pytest.raises(UsageError, match="validation"):
        tuner.tune(recipe(), 0, toy_pairs(), nothing, str(tmp_path), RecordingTracker(), CountingProgress())


def test_preflight_names_the_method_and_its_rate(tuner: EncoderTuner) -> None:
    found = tuner.preflight(recipe("full", learning_rate=None), 100)
    assert (found.method, found.learning_rate) == ("full", 3e-5)

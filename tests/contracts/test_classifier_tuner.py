"""What every tuner of encoders and heads promises."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from fakes.heads import NearestMeanTrainer
from fakes.joint_tuners import PromisedTuner
from fakes.tracker import RecordingTracker
from joint_tuning import frozen_heads, recipe, splits, torch_tuner, tune

from fusionapp.application.ports.classifier_tuner import ClassifierTuner
from fusionapp.domain.errors import UsageError

pytest.importorskip("peft", reason="the extra `tune` is not installed")

Tuner = tuple[ClassifierTuner, tuple[str, ...]]
TUNERS: dict[str, Callable[[], Tuner]] = {
    "torch": lambda: (torch_tuner(), frozen_heads("bert")),
    "promised": lambda: (PromisedTuner(), frozen_heads("bert", NearestMeanTrainer())),
}
SHORT = recipe({"epochs": 1, "learning_rate": 1e-3})


@pytest.fixture(params=TUNERS, name="tuner")
def _tuner(request: pytest.FixtureRequest) -> Tuner:
    return TUNERS[request.param]()


def test_every_seed_gets_its_head_in_its_place(tuner: Tuner, tmp_path: Path) -> None:
    tuned = tune(*tuner, tmp_path, SHORT)
    assert [head.seed for head in tuned.heads] == [0, 1]
    assert [head.directory for head in tuned.heads] == [str(tmp_path / f"seed-{seed}") for seed in (0, 1)]
    assert all({"head.json", "head.safetensors"} <= _files(Path(head.directory)) for head in tuned.heads)


def test_every_tuned_encoder_is_saved_and_described(tuner: Tuner, tmp_path: Path) -> None:
    tuned = tune(*tuner, tmp_path, SHORT)
    assert _files(tmp_path / "model" / "model")
    assert list(tuned.encoders) == list(tuned.preflights) == ["model"]
    assert tuned.preflights["model"].trainable > 0
    assert 0 <= tuned.best_step <= tuned.steps


def test_every_head_is_judged_on_validation(tuner: Tuner, tmp_path: Path) -> None:
    tuned = tune(*tuner, tmp_path, SHORT)
    for head in tuned.heads:
        assert {"accuracy", "macro_f1", "weighted_f1", "loss"} == set(head.validation)
        assert 0 <= head.validation["accuracy"] <= 1


def test_the_start_is_tracked_as_step_0(tuner: Tuner, tmp_path: Path) -> None:
    tracker = RecordingTracker()
    tune(*tuner, tmp_path, SHORT, tracker=tracker)
    run, step, metrics = tracker.logged[0]
    assert (run, step) == ("seed-0", 0)
    assert "validation_accuracy" in metrics
    assert max(step for _, step, _ in tracker.logged) > 0


@pytest.mark.parametrize("encoders", [[], ["nobody"]])
def test_an_encoder_that_no_head_reads_is_refused(tuner: Tuner, encoders: list[str], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="tuning: "):
        tune(*tuner, tmp_path, SHORT, encoders=encoders)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_texts_that_do_not_fit_the_labels_are_refused(tuner: Tuner, split: str, tmp_path: Path) -> None:
    rows = dict(zip(("train", "validation"), splits("bert"), strict=True))[split]
    changes: dict[str, Any] = {split: attrs.evolve(rows, texts=rows.texts[1:])}
    with pytest.raises(UsageError, match=f"tuning: {split} has"):
        tune(*tuner, tmp_path, SHORT, **changes)


def _files(place: Path) -> set[str]:
    return {path.name for path in place.iterdir()}

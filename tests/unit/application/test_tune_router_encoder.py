"""A run's encoder is tuned once, and kept where routers over it are better on validation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest
from fakes.heads import CountingProgress
from fakes.router_tuners import PromisedRouterTuner
from fakes.routers import toy_answers
from fakes.stores import MemoryRunStore
from fakes.tracker import RecordingTracker

from fusionapp.application.ports.router import TrainedRouter
from fusionapp.application.services.train_router import RouterTraining
from fusionapp.application.services.tune_router_encoder import (
    RouterTuning,
    TuneRouterEncoder,
    keep_better,
    read_tuning,
)
from fusionapp.domain.routing.recipe import RouterRecipe

BASIS: dict[str, Any] = {"encoders": {}, "settings": {"seed": 0}}


@attrs.frozen
class Job:
    """A run, and what tunes its encoder."""

    runs: MemoryRunStore
    tuner: PromisedRouterTuner

    def tune(self, basis: Any = BASIS) -> RouterTuning:
        service = TuneRouterEncoder(
            self.tuner, self.runs, lambda group: RecordingTracker(), CountingProgress()
        )
        return service(RouterRecipe(), "dense", 3, toy_answers(20), toy_answers(10, 1), basis)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(MemoryRunStore(tmp_path), PromisedRouterTuner())


def routers(*qualities: float) -> RouterTraining:
    return RouterTraining(
        [
            TrainedRouter(f"seed-{seed}", seed, 1, 1, 1, {"quality": quality})
            for seed, quality in enumerate(qualities)
        ],
        1.0,
    )


def test_a_tuned_encoder_stands_in_the_run_and_is_not_decided_on_yet(job: Job, tmp_path: Path) -> None:
    tuning = job.tune()
    assert tuning.table == {"pooling": "mean", "model": "encoders/dense/model"}
    assert tuning.kept is None
    assert (tmp_path / "encoders/dense/model/weights").read_text(encoding="utf-8") == "dense 3"


def test_an_encoder_that_no_step_improved_is_decided_on(tmp_path: Path) -> None:
    tuning = Job(MemoryRunStore(tmp_path), PromisedRouterTuner(improves=False)).tune()
    assert tuning.table is None
    assert tuning.kept is False


def test_a_second_call_returns_what_the_first_left(job: Job) -> None:
    first = job.tune()
    assert job.tune() == first
    assert job.tuner.asked == ["dense"]


def test_another_basis_is_tuned_on_anew(job: Job) -> None:
    job.tune()
    job.tune({**BASIS, "settings": {"seed": 1}})
    assert job.tuner.asked == ["dense", "dense"]
    assert read_tuning(job.runs, BASIS) is None


def test_an_encoder_that_was_changed_is_tuned_anew(job: Job, tmp_path: Path) -> None:
    job.tune()
    (tmp_path / "encoders/dense/model/weights").write_text("other", encoding="utf-8")
    job.tune()
    assert job.tuner.asked == ["dense", "dense"]


@pytest.mark.parametrize(
    ("untuned", "tuned", "kept"),
    [((0.5, 0.7), (0.6, 0.7), True), ((0.5, 0.7), (0.7, 0.5), False), ((0.5, 0.7), (0.9, 0.1), False)],
)
def test_the_better_mean_over_seeds_is_kept_and_the_untuned_one_of_equals(
    job: Job, untuned: tuple[float, ...], tuned: tuple[float, ...], kept: bool
) -> None:
    tuning = keep_better(job.runs, job.tune(), routers(*untuned), routers(*tuned))
    assert tuning.kept is kept
    found = read_tuning(job.runs, BASIS)
    assert found is not None
    assert found.kept is kept
    assert found.document["validation"]["untuned"] == pytest.approx(sum(untuned) / 2)


def test_advice_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="fusionapp")
    Job(MemoryRunStore(tmp_path), PromisedRouterTuner(advice=["think of lora"])).tune()
    assert "dense: think of lora" in caplog.text

"""Tuning starts from frozen heads, beside a path that is honest, and is kept where validation says so."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from fakes.encoders import CountingEncoder
from fakes.house import RECIPE, BuildHouse, House, TopicEncoder, examples
from fakes.joint_tuners import PromisedTuner

from fusionapp.application.services.fit_linear_path import FitLinearPath
from fusionapp.application.services.prepare_classification import ClassificationData
from fusionapp.application.services.train_classifier import Training
from fusionapp.application.services.tune_classifier import TuneClassifier, Tuning, read_tuning
from fusionapp.domain.fusion.spec import FusionSpec

SPLITS = {"train": examples(60, 1)}
BASIS: dict[str, Any] = {"encoders": {}, "settings": {"seed": 0}}


@attrs.frozen
class Job:
    """Frozen heads, and what tunes them."""

    house: House
    tuner: PromisedTuner
    data: ClassificationData
    frozen: Training

    def tune(self, encoders: tuple[str, ...] = ("topic",), basis: Any = BASIS, **recipe: Any) -> Tuning:
        fit_path = FitLinearPath(self.house.path, self.house.progress)
        service = TuneClassifier(
            self.tuner, fit_path, self.house.runs, self.house._track, self.house.progress
        )
        texts = ["a"] * len(self.data.train.labels), ["b"] * len(self.data.validation.labels)
        return service(attrs.evolve(RECIPE, **recipe), encoders, [0, 1], self.data, texts, self.frozen, basis)


@pytest.fixture
def job(build: BuildHouse) -> Job:
    house = build(SPLITS)
    extraction = house.extract({"topic": TopicEncoder(), "noise": CountingEncoder(name="noise")})
    data = house.prepare(extraction)
    frozen = house.train("frozen", FusionSpec(), RECIPE, [0, 1], data, {"encoders": {}})
    house.path.fitted.clear()
    worse = [
        attrs.evolve(head, validation={**head.validation, "accuracy": 0.8, "loss": 0.2})
        for head in frozen.heads
    ]
    return Job(house, PromisedTuner(), data, attrs.evolve(frozen, heads=worse))


def test_the_path_reads_only_sources_that_are_not_tuned(job: Job) -> None:
    job.tune(("topic",))
    assert job.house.path.fitted == [("linear_svm", ["noise"], len(job.data.train.labels))]
    assert job.tuner.calls == [(["topic"], True)]


def test_there_is_no_path_where_every_source_is_tuned(job: Job) -> None:
    tuning = job.tune(("topic", "noise"))
    assert job.house.path.fitted == []
    assert tuning.training.path is None
    assert job.tuner.calls == [(["topic", "noise"], False)]


def test_there_is_no_path_where_the_recipe_wants_none(job: Job) -> None:
    assert job.tune(linear_path="none").training.path is None


def test_better_heads_are_kept(job: Job) -> None:
    tuning = job.tune()
    assert tuning.kept
    assert [tuning.frozen, tuning.tuned] == pytest.approx([0.8, 0.9])
    assert tuning.encoders["topic"] == {"pooling": "mean", "model": "encoders/topic/model"}
    assert tuning.training.seconds > job.frozen.seconds


@pytest.mark.parametrize("accuracy", [0.7, 0.8])
def test_heads_that_are_no_better_are_not(job: Job, accuracy: float) -> None:
    job.tuner.accuracy = accuracy
    assert not job.tune().kept


def test_a_lower_loss_is_better(job: Job) -> None:
    assert job.tune(metric="loss").kept
    job.tuner.accuracy = 0.7
    assert not job.tune(metric="loss", basis={**BASIS, "settings": {"seed": 1}}).kept


def test_an_encoder_that_took_no_step_is_not_kept(job: Job) -> None:
    job.tuner.best_step = 0
    assert not job.tune().kept


def test_a_second_call_returns_what_the_first_left(job: Job) -> None:
    first = job.tune()
    assert job.tune() == first
    assert len(job.tuner.calls) == 1


def test_other_frozen_heads_are_tuned_anew(job: Job) -> None:
    job.tune()
    job.tune(basis={**BASIS, "settings": {"seed": 1}})
    assert len(job.tuner.calls) == 2
    assert read_tuning(job.house.runs, BASIS) is None


def test_tuned_files_that_were_changed_are_made_anew(job: Job) -> None:
    job.tune()
    (job.house.scratch / "encoders/topic/model/weights.json").write_text("[]", encoding="utf-8")
    job.tune()
    assert len(job.tuner.calls) == 2


def test_earlier_heads_are_void_while_tuning_runs(job: Job) -> None:
    job.house.trained(job.data, [0, 1])
    job.tune()
    found = job.house.runs.read_document("models/trained.json")
    assert found is not None
    assert found["carried"] is None

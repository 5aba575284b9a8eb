"""Heads are trained beside a linear path, kept with it, scored with it, and held against it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
import pytest
from fakes.encoders import CountingEncoder
from fakes.heads import NearestMeanTrainer
from fakes.house import RECIPE, BuildHouse, House, TopicEncoder, examples
from fakes.linear import ClassSharePath

from fusionapp.application.ports.heads import LabelledEmbeddings, TrainedHead
from fusionapp.application.services.fit_linear_path import FitLinearPath
from fusionapp.application.services.gather_embeddings import SplitEmbeddings
from fusionapp.application.services.prepare_classification import ClassificationData
from fusionapp.domain.errors import CorruptArtifactError
from fusionapp.domain.fusion.spec import FusionSpec

SPLITS = {"train": examples(60, 1), "test": examples(40, 2)}
GATED = FusionSpec(kind="gated")
WITHOUT = attrs.evolve(RECIPE, linear_path="none")
OTHER = attrs.evolve(RECIPE, linear_path="logistic_regression", linear_costs=(2.0, 0.5))


class RecordingTrainer(NearestMeanTrainer):
    """Keeps the rows that it was given last."""

    train_rows: LabelledEmbeddings
    validation_rows: LabelledEmbeddings

    def train(self, **how: Any) -> Sequence[TrainedHead]:  # type: ignore[override]  # the port's, by name
        self.train_rows, self.validation_rows = how["train"], how["validation"]
        return super().train(**how)


class LosingPath(ClassSharePath):
    """Forgets every model that it kept."""

    def forget(self) -> None:
        self._kept.clear()


@attrs.frozen
class Job:
    """A house with data ready."""

    house: House
    trainer: RecordingTrainer
    path: LosingPath
    data: ClassificationData
    test: SplitEmbeddings


@pytest.fixture
def job(build: BuildHouse) -> Job:
    house, trainer, path = build(SPLITS), RecordingTrainer(), LosingPath()
    house.trainer, house.path = trainer, path
    extraction = house.extract({"topic": TopicEncoder(), "noise": CountingEncoder(name="noise")})
    return Job(house, trainer, path, house.prepare(extraction), house.gather(extraction, "test"))


def test_one_path_is_fitted_for_all_seeds_over_every_source(job: Job) -> None:
    job.house.trained(job.data, [0, 1, 2])
    assert job.path.fitted == [("linear_svm", ["topic", "noise"], len(job.data.train.labels))]


def test_heads_are_trained_on_scores_of_models_that_did_not_see_the_row(job: Job) -> None:
    job.house.trained(job.data, [0])
    beside, chosen_on = job.trainer.train_rows.linear, job.trainer.validation_rows.linear
    assert beside is not None
    assert chosen_on is not None
    assert beside.shape == (len(job.data.train.labels), 3)
    shares = np.bincount(job.data.train.labels) / len(job.data.train.labels)
    np.testing.assert_allclose(chosen_on, np.tile(shares, (len(chosen_on), 1)), rtol=1e-6)
    assert not np.isclose(beside, chosen_on[0]).all(axis=1).any()


def test_training_says_what_the_path_reaches_alone(job: Job) -> None:
    path = job.house.trained(job.data, [0], OTHER).path
    assert path is not None
    labels = job.data.validation.labels
    most = np.bincount(job.data.train.labels).argmax()
    assert (path.cost, path.validation) == (0.5, float((labels == most).mean()))
    assert path.seconds >= 0


def test_heads_that_are_found_again_bring_their_path(job: Job) -> None:
    first, again = (job.house.trained(job.data, [0, 1]) for _ in range(2))
    assert again.reused
    assert again.path == first.path
    assert len(job.path.fitted) == 1


def test_every_head_says_whether_it_adds_to_a_path(job: Job) -> None:
    for recipe, beside in ((RECIPE, True), (WITHOUT, False)):
        job.house.trained(job.data, [0], recipe, beside=beside)
        model = job.house.runs.read_document("models/seed-0/model.json")
        assert model is not None
        assert model["linear_path"] is beside


def test_without_a_path_none_is_fitted_scored_or_listed(job: Job) -> None:
    evaluation = job.house.evaluate(job.data, job.test, GATED, recipe=WITHOUT)
    assert job.path.fitted == []
    assert job.trainer.train_rows.linear is None
    assert "linear path alone" not in evaluation.controls
    found = job.house.runs.read_document("models/trained.json")
    assert found is not None
    assert found["path"] is None


def test_a_control_has_a_path_of_its_own_over_its_own_sources(job: Job) -> None:
    job.house.evaluate(job.data, job.test, GATED)
    assert [sources for _, sources, _ in job.path.fitted] == [
        ["topic", "noise"],
        ["topic"],
        ["noise"],
        ["topic", "noise"],
    ]


def test_the_leaderboard_shows_what_heads_add_to_their_path(job: Job) -> None:
    evaluation = job.house.evaluate(job.data, job.test, GATED, recipe=OTHER)
    (row,) = [row for row in evaluation.leaderboard if row.name == "linear path alone"]
    trained = job.house.trained(job.data, [0, 1], OTHER)
    assert trained.path is not None
    assert (row.validation, row.validation_sd, row.note) == (trained.path.validation, 0.0, "C=0.5")
    labels = np.array([job.data.classes.index(label) for label in job.test.labels])
    most = np.bincount(job.data.train.labels).argmax()
    assert row.metrics["accuracy"].mean == pytest.approx((labels == most).mean())
    assert "ece" not in row.metrics  # decision values are no probabilities
    assert row.verdict == "better"


def test_a_group_trained_by_a_version_without_paths_is_trained_again(job: Job) -> None:
    job.house.trained(job.data, [0])
    found = job.house.runs.read_document("models/trained.json")
    assert found is not None
    job.house.runs.write_document("models/trained.json", {k: v for k, v in found.items() if k != "path"})
    again = job.house.trained(job.data, [0])
    assert not again.reused
    assert again.path is not None


@pytest.mark.parametrize("keep", [True, False])
def test_a_head_that_does_not_say_whether_it_adds_to_a_path_is_not_scored(job: Job, keep: bool) -> None:
    job.house.trained(job.data, [0])
    name = "models/seed-0/model.json"
    model = job.house.runs.read_document(name)
    assert model is not None
    job.house.runs.write_document(
        name, {k: v for k, v in model.items() if k != "linear_path"} if keep else None
    )
    with pytest.raises(CorruptArtifactError, match=rf"{name}: .*train again"):
        job.house.score("models", [0], job.test)


def test_heads_are_not_scored_without_the_path_that_they_add_to(job: Job) -> None:
    job.house.trained(job.data, [0])
    assert job.house.score("models", [0], job.test).path is not None
    job.path.forget()
    with pytest.raises(CorruptArtifactError, match=r"models/linear"):
        job.house.score("models", [0], job.test)


def test_rows_without_a_path_are_the_very_rows(job: Job) -> None:
    fit = FitLinearPath(job.path, job.house.progress)
    rows = fit(WITHOUT, 3, job.data.train, job.data.validation, 0, "anywhere")
    assert rows.train is job.data.train
    assert rows.validation is job.data.validation
    assert rows.path is None

"""A linear control is fitted once for what its numbers depend on, and keeps what it said of each row."""

from __future__ import annotations

import pytest
from fakes.encoders import CountingEncoder
from fakes.house import BuildHouse, House, TopicEncoder, examples

from fusionapp.application.services.prepare_classification import ClassificationData
from fusionapp.application.services.score_linear import LinearResult, ScoreLinearControl
from fusionapp.domain.errors import DatasetError
from fusionapp.domain.recipe import SourceRecipe

SPLITS = {"train": examples(60, 1), "test": examples(40, 2)}


def ready(build: BuildHouse) -> tuple[House, ScoreLinearControl]:
    house = build(SPLITS)
    return house, ScoreLinearControl(house.linear, house.runs, house.progress)


def fit(house: House, score: ScoreLinearControl, basis: str = "one") -> LinearResult:
    extraction = house.extract({"topic": TopicEncoder(), "noise": CountingEncoder(name="noise")})
    data: ClassificationData = house.prepare(extraction)
    recipes = {"topic": SourceRecipe()}
    split = house.gather(extraction, "test")
    return score("linear_svm", data, split, recipes, (0.5, 1.0), "label", 100, basis)


def test_it_is_fitted_over_every_source_and_judged_on_the_split(build: BuildHouse) -> None:
    house, score = ready(build)
    found = fit(house, score)
    assert [(kind, sources) for kind, sources, _ in house.linear.fitted] == [
        ("linear_svm", ["topic", "noise"])
    ]
    labels = [label for _, label in SPLITS["test"]]
    assert found.cost == 0.5
    assert found.metrics["accuracy"].mean == pytest.approx(labels.count("fear") / len(labels))
    assert found.metrics["accuracy"].sd == 0.0


def test_what_it_said_of_each_row_is_kept_as_a_runs_scores_are(build: BuildHouse) -> None:
    house, score = ready(build)
    fit(house, score)
    table = house.runs.read_table("scores/test/result.parquet")
    assert {"row", "id", "label", "seed", "ensemble"} <= set(table)
    assert set(table["seed"]) == set(table["ensemble"]) == {"fear"}


def test_it_is_kept_for_the_same_basis_alone(build: BuildHouse) -> None:
    house, score = ready(build)
    assert score.kept("linear_svm", "test", "one") is None
    found = fit(house, score)
    assert score.kept("linear_svm", "test", "one") == found
    assert score.kept("linear_svm", "test", "two") is None
    assert score.kept("linear_svm", "validation", "one") is None


def test_a_label_that_train_lacks_is_refused_before_anything_is_fitted(build: BuildHouse) -> None:
    house = build({**SPLITS, "test": [("rage 1", "rage")]})
    score = ScoreLinearControl(house.linear, house.runs, house.progress)
    with pytest.raises(DatasetError, match="'rage' does not occur in train"):
        fit(house, score)
    assert house.linear.fitted == []

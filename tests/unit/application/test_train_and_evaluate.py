"""Training is reused when nothing changed; a result stands beside its controls and claims no more than it may."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from fakes.encoders import CountingEncoder
from fakes.heads import NearestMeanTrainer
from fakes.house import BuildHouse, House, TopicEncoder, examples

from fusionapp.application.ports.encoder import Encoder
from fusionapp.application.ports.heads import TrainedHead
from fusionapp.application.services.evaluate_classifier import Evaluation
from fusionapp.application.services.gather_embeddings import SplitEmbeddings
from fusionapp.application.services.prepare_classification import ClassificationData
from fusionapp.domain.errors import DatasetError, ResourceError
from fusionapp.domain.fusion.spec import FusionSpec
from fusionapp.entrypoints.leaderboards import leaderboard_csv
from fusionapp.entrypoints.reports import (
    evaluation_json,
    leaderboard_markdown,
    read_evaluation,
    write_evaluation,
)

SPLITS = {"train": examples(60, 1), "test": examples(40, 2)}
GATED = FusionSpec(kind="gated")


class CountingTrainer(NearestMeanTrainer):
    """Counts, and fails where it is told to."""

    def __init__(self) -> None:
        self.calls = 0
        self.fail = False

    def train(self, **how: Any) -> Sequence[TrainedHead]:  # type: ignore[override]  # the port's, by name
        self.calls += 1
        heads = super().train(**how)
        if self.fail:
            raise ResourceError("memory ran out")
        return heads


def ready(
    build: BuildHouse, encoders: Mapping[str, Encoder] | None = None
) -> tuple[House, ClassificationData, SplitEmbeddings]:
    house = build(SPLITS)
    house.trainer = CountingTrainer()
    default = {"topic": TopicEncoder(), "noise": CountingEncoder(name="noise")}
    extraction = house.extract(default if encoders is None else encoders)
    return house, house.prepare(extraction), house.gather(extraction, "test")


def trainings(house: House) -> int:
    assert isinstance(house.trainer, CountingTrainer)
    return house.trainer.calls


@pytest.fixture
def evaluation(build: BuildHouse) -> Evaluation:
    house, data, test = ready(build)
    return house.evaluate(data, test, GATED)


def test_heads_that_stand_there_already_are_not_trained_again(build: BuildHouse) -> None:
    house, data, _ = ready(build)
    first = house.trained(data, [0, 1])
    second = house.trained(data, [0, 1])
    assert trainings(house) == 1
    assert (first.reused, second.reused) == (False, True)
    assert second.heads == first.heads


@pytest.mark.parametrize(("seeds", "carried"), [([0, 1, 2], {}), ([0, 1], {"order": ["b"]})])
def test_other_seeds_or_other_data_are_trained_again(
    build: BuildHouse, seeds: list[int], carried: dict[str, Any]
) -> None:
    house, data, _ = ready(build)
    house.trained(data, [0, 1])
    assert not house.trained(data, seeds, **carried).reused
    assert trainings(house) == 2


def test_a_training_that_failed_half_way_is_never_taken_for_the_one_before(build: BuildHouse) -> None:
    house, data, _ = ready(build)
    assert isinstance(house.trainer, CountingTrainer)
    house.trained(data, [0, 1])
    house.trainer.fail = True
    with pytest.raises(ResourceError):
        house.trained(data, [0, 1], order=["b"])
    house.trainer.fail = False
    assert not house.trained(data, [0, 1]).reused


def test_every_head_carries_what_prediction_needs(build: BuildHouse) -> None:
    house, data, _ = ready(build)
    house.trained(data, [4], encoders={"topic": {"settings": {}}, "noise": {"settings": {}}})
    model = house.runs.read_document("models/seed-4/model.json")
    assert model is not None
    assert (model["task"], model["classes"], model["seed"]) == ("classify", ["fear", "grief", "joy"], 4)
    assert list(model["encoders"]) == ["topic", "noise"]
    assert set(model["validation"]) == {"accuracy", "macro_f1", "weighted_f1", "loss"}


def test_training_is_followed_and_its_tracker_closed(build: BuildHouse) -> None:
    house, data, _ = ready(build)
    house.trained(data, [0, 1])
    tracker = house.trackers["models"]
    assert {run for run, _, _ in tracker.logged} == {"seed-0", "seed-1"}
    assert tracker.closed


def test_every_control_is_listed_beside_the_result(evaluation: Evaluation) -> None:
    assert list(evaluation.controls) == [
        "linear path alone",
        "topic alone",
        "noise alone",
        "concat",
        "linear_svm",
        "logistic_regression",
    ]
    assert set(evaluation.verdicts) == set(evaluation.differences) == set(evaluation.controls)
    names = [row.name for row in evaluation.leaderboard]
    assert sorted(names) == sorted(["gated", "ensemble of seeds", *evaluation.controls])


def test_no_control_is_the_fusion_itself(build: BuildHouse) -> None:
    house, data, test = ready(build)
    assert "concat" not in house.evaluate(data, test, FusionSpec(kind="concat")).controls


def test_a_single_source_has_no_control_of_its_own(build: BuildHouse) -> None:
    house, data, test = ready(build, {"topic": TopicEncoder()})
    assert list(house.evaluate(data, test, GATED).controls) == [
        "linear path alone",
        "concat",
        "linear_svm",
        "logistic_regression",
    ]
    assert list(house.evaluate(data, test, FusionSpec()).controls) == [
        "linear path alone",
        "linear_svm",
        "logistic_regression",
    ]


def test_the_linear_controls_see_the_very_rows_and_sources_of_the_fusion(build: BuildHouse) -> None:
    house, data, test = ready(build)
    house.evaluate(data, test, GATED)
    rows = len(data.train.labels)
    assert house.linear.fitted == [
        ("linear_svm", ["topic", "noise"], rows),
        ("logistic_regression", ["topic", "noise"], rows),
    ]


def test_better_means_that_the_result_beats_the_control(evaluation: Evaluation) -> None:
    assert evaluation.result["accuracy"].mean == 1.0
    assert evaluation.verdicts["noise alone"] == "better"
    assert evaluation.differences["noise alone"].interval.low > 0
    assert evaluation.verdicts["linear_svm"] == "better"
    assert evaluation.verdicts["topic alone"] == "not separable"


def test_worse_means_that_the_control_beats_the_result(build: BuildHouse) -> None:
    house, data, test = ready(build, {"noise": CountingEncoder(name="noise")})
    first = data.classes[0]
    only_first = [row for row, label in enumerate(test.labels) if label == first]
    easy = attrs.evolve(
        test,
        rows=test.rows[only_first],
        labels=[test.labels[row] for row in only_first],
        ids=[test.ids[row] for row in only_first],
        sources={name: np.asarray(source)[only_first] for name, source in test.sources.items()},
    )
    assert house.evaluate(data, easy, FusionSpec()).verdicts["linear_svm"] == "worse"


def test_the_leaderboard_is_ranked_by_validation_and_shows_test(evaluation: Evaluation) -> None:
    ranked = [row.validation for row in evaluation.leaderboard if row.validation is not None]
    assert ranked == sorted(ranked, reverse=True)
    assert evaluation.leaderboard[-1].name == "ensemble of seeds"
    assert evaluation.leaderboard[-1].validation is None
    chosen = {row.name: row.note for row in evaluation.leaderboard}
    assert chosen["linear_svm"] == "C=0.5"


def test_decision_values_have_no_calibration_and_probabilities_do(evaluation: Evaluation) -> None:
    assert set(evaluation.result) == {"accuracy", "macro_f1", "weighted_f1", "ece"}
    assert "ece" not in evaluation.controls["linear_svm"]
    assert "ece" in evaluation.controls["logistic_regression"]


def test_without_baselines_nothing_else_is_trained(build: BuildHouse) -> None:
    house, data, test = ready(build)
    evaluation = house.evaluate(data, test, GATED, baselines=False)
    assert evaluation.controls == {}
    assert trainings(house) == 1
    assert house.linear.fitted == []


def test_per_example_scores_are_kept_for_the_result_and_every_control(build: BuildHouse) -> None:
    house, data, test = ready(build)
    evaluation = house.evaluate(data, test, GATED)
    assert set(house.runs.tables) == {
        f"scores/test/{name}.parquet"
        for name in (
            "result",
            "linear-path-alone",
            "topic-alone",
            "noise-alone",
            "concat",
            "linear_svm",
            "logistic_regression",
        )
    }
    table = house.runs.read_table("scores/test/result.parquet")
    assert list(table["label"]) == [label for _, label in SPLITS["test"]]
    assert json.loads(table["id"][7]) == {"row": 7}
    recomputed = np.mean([(table[f"seed-{seed}"] == table["label"]).mean() for seed in (0, 1)])
    assert recomputed == evaluation.result["accuracy"].mean
    assert "seed_probability" not in house.runs.read_table("scores/test/linear_svm.parquet")


def test_a_test_label_that_train_lacks_stops_before_anything_is_scored(build: BuildHouse) -> None:
    house, data, test = ready(build)
    with pytest.raises(DatasetError, match="'envy' does not occur in train"):
        house.evaluate(data, attrs.evolve(test, labels=["envy", *test.labels[1:]]), GATED)
    assert house.runs.tables == {}


def test_an_evaluation_survives_being_written_down(evaluation: Evaluation, build: BuildHouse) -> None:
    runs = build(SPLITS).runs
    write_evaluation(runs, evaluation, "basis")
    again = read_evaluation(runs, "test", "basis")
    assert again is not None
    assert evaluation_json(again) == evaluation_json(evaluation)
    assert leaderboard_csv(again.leaderboard) == leaderboard_csv(evaluation.leaderboard)
    assert again.differences == evaluation.differences


def test_an_evaluation_of_something_else_is_not_taken_for_this_one(
    evaluation: Evaluation, build: BuildHouse
) -> None:
    runs = build(SPLITS).runs
    assert read_evaluation(runs, "test", "basis") is None
    write_evaluation(runs, evaluation, "basis")
    assert read_evaluation(runs, "test", "other") is None
    assert read_evaluation(runs, "validation", "basis") is None


def test_the_leaderboard_reads_as_markdown_and_as_csv(evaluation: Evaluation, tmp_path: Path) -> None:
    *lines, blank, reading = leaderboard_markdown(evaluation).splitlines()
    assert blank == ""
    assert "they share the embeddings" in reading
    assert len(lines) == 2 + len(evaluation.leaderboard)
    assert len({line.count("|") for line in lines}) == 1
    header, *rows = leaderboard_csv(evaluation.leaderboard).splitlines()
    assert {"name", "validation", "accuracy_mean", "accuracy_low", "ece_sd", "verdict"} <= set(
        header.split(",")
    )
    assert len(rows) == len(evaluation.leaderboard)

"""Folds and draws: dealt from one pool, trained once each, judged together beside their controls."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Literal

import attrs
import numpy as np
import pytest
from fakes.encoders import CountingEncoder
from fakes.heads import NearestMeanTrainer
from fakes.house import BuildHouse, House, Splits, TopicEncoder, examples
from fakes.stores import MemoryRunStore
from fakes.tracker import RecordingTracker
from scipy.sparse import csr_array

from fusionapp.application.services.deal_rounds import DealRounds, Pool, Round, stack_splits
from fusionapp.application.services.evaluate_classifier import EvaluateClassifier, Evaluation
from fusionapp.application.services.evaluate_rounds import EvaluateRounds
from fusionapp.application.services.gather_embeddings import SplitEmbeddings
from fusionapp.application.services.run_controls import RunControls
from fusionapp.application.services.train_classifier import TrainClassifier, Training
from fusionapp.application.services.train_rounds import ROUNDS, TrainRounds
from fusionapp.domain.embeddings import stack_rows
from fusionapp.domain.errors import DatasetError, ResourceError, UsageError
from fusionapp.domain.fusion.spec import FusionSpec
from fusionapp.domain.recipe import TrainingRecipe
from fusionapp.domain.splitting import text_groups

SPLITS: Splits = {"train": examples(60, 1), "test": examples(40, 2)}
GATED = FusionSpec(kind="gated")
FOLDS = DealRounds(folds=4, shots=None, draws=10, validation_fraction=0.2, seed=0, label_column="label")
SHOTS = attrs.evolve(FOLDS, folds=None, shots=6, draws=3)


class FailingTrainer(NearestMeanTrainer):
    """Counts trainings; the one told of runs out of memory."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.calls = 0
        self.fails_at = fails_at

    def train(self, **how: Any) -> Any:  # type: ignore[override]  # the port's, by name
        self.calls += 1
        if self.calls == self.fails_at:
            raise ResourceError("memory ran out")
        return super().train(**how)


@attrs.define
class Laboratory:
    """A house with a run of its own for each round."""

    house: House
    pool: Pool
    test: SplitEmbeddings
    trainer: FailingTrainer = attrs.field(factory=FailingTrainer)
    stores: dict[str, MemoryRunStore] = attrs.field(factory=dict)

    def train(self, deal: DealRounds, **carried: Any) -> list[Training]:
        train = TrainRounds(self._trains, self.house.runs, self.house.progress)
        rounds = list(deal(self.pool, self.test))
        made = {"encoders": {}, **carried}
        return train(rounds, len(rounds), GATED, TrainingRecipe(), [0, 1], made, {"folds": len(rounds)})

    def evaluate(
        self, kind: Literal["folds", "shots"], deal: DealRounds, baselines: bool = True
    ) -> Evaluation:
        rounds = list(deal(self.pool, self.test))
        return EvaluateRounds(self._trains, self._evaluates, self.house.runs, self.house.progress)(
            kind=kind,
            protocol={"kind": kind, "left_out": 0},
            rounds=rounds,
            count=len(rounds),
            name="gated",
            fusion=GATED,
            recipe=TrainingRecipe(),
            seeds=[0, 1],
            label_column="label",
            draws=400,
            baselines=baselines,
            costs=(0.5, 1.0),
            carried={"encoders": {}},
        )

    def store(self, name: str) -> MemoryRunStore:
        return self.stores.setdefault(name, MemoryRunStore(self.house.scratch / name))

    def _trains(self, name: str) -> TrainClassifier:
        return attrs.evolve(
            self.house.train,
            trainer=self.trainer,
            runs=self.store(name),
            track=lambda group: RecordingTracker(),
        )

    def _evaluates(self, name: str) -> EvaluateClassifier:
        score = attrs.evolve(self.house.score, runs=self.store(name))
        controls = RunControls(self._trains(name), score, self.house.linear, self.house.progress)
        return EvaluateClassifier(score, controls, self.store(name))


Build = Callable[[Splits], Laboratory]


@pytest.fixture
def open_laboratory(build: BuildHouse) -> Build:
    def opened(splits: Splits) -> Laboratory:
        house = build(splits)
        extraction = house.extract({"topic": TopicEncoder(), "noise": CountingEncoder(name="noise")})
        texts = text_groups(text for text, _ in splits["train"])
        pool = Pool(house.gather(extraction, "train"), texts)
        return Laboratory(house, pool, house.gather(extraction, "test"))

    return opened


@pytest.fixture
def laboratory(open_laboratory: Build) -> Laboratory:
    return open_laboratory(SPLITS)


def dealt(laboratory: Laboratory, deal: DealRounds) -> list[Round]:
    return list(deal(laboratory.pool, laboratory.test))


def test_a_fold_is_tested_on_the_rows_that_it_does_not_train_on(laboratory: Laboratory) -> None:
    for one in dealt(laboratory, FOLDS):
        train, test = np.asarray(one.data.train.sources["noise"]), np.asarray(one.test.sources["noise"])
        assert not (train[:, None] == test[None]).all(axis=(-1, -2)).any()
        assert len(train) + len(one.data.validation.labels) + len(test) == 60
        assert one.test.labels == [laboratory.pool.split.labels[row] for row in one.test.rows]


def test_a_draw_is_tested_on_the_test_split(laboratory: Laboratory) -> None:
    for one in dealt(laboratory, SHOTS):
        assert one.test is laboratory.test
        assert np.bincount(one.data.train.labels).tolist() == [5, 5, 5]
        assert np.bincount(one.data.validation.labels).tolist() == [1, 1, 1]
        assert one.data.classes == ["fear", "grief", "joy"]


def test_draws_without_a_test_split_are_refused(laboratory: Laboratory) -> None:
    with pytest.raises(UsageError, match="no test split"):
        list(SHOTS(laboratory.pool, None))


def test_a_class_with_too_few_rows_is_named(open_laboratory: Build, caplog: pytest.LogCaptureFixture) -> None:
    rare = [("envy is rare", "envy"), ("envy again", "envy"), ("envy again", "envy")]
    laboratory = open_laboratory({"train": [*examples(60, 1), *rare], "test": examples(9, 2)})
    with caplog.at_level(logging.WARNING):
        dealt(laboratory, SHOTS)
    assert "fewer than 6 distinct texts in 1 of 4 classes, which give all they have: envy 2" in caplog.text


def test_a_row_without_a_label_stops_before_anything_is_trained(open_laboratory: Build) -> None:
    laboratory = open_laboratory({"train": [*examples(60, 1), ("x", None)], "test": examples(9, 2)})
    with pytest.raises(DatasetError, match=r"row 60 .* no label"):
        laboratory.train(FOLDS)
    assert laboratory.trainer.calls == 0


def test_every_round_trains_its_seeds_in_a_run_of_its_own(laboratory: Laboratory) -> None:
    trained = laboratory.train(FOLDS)
    assert [len(one.heads) for one in trained] == [2, 2, 2, 2]
    assert list(laboratory.stores) == ["fold-0", "fold-1", "fold-2", "fold-3"]
    described = laboratory.house.runs.read_document(ROUNDS)
    assert described is not None
    assert [one["test"] for one in described["rounds"]] == [15, 15, 15, 15]


def test_rounds_that_were_trained_before_a_crash_are_kept(laboratory: Laboratory) -> None:
    laboratory.trainer.fails_at = 3
    with pytest.raises(ResourceError):
        laboratory.train(FOLDS)
    assert laboratory.house.runs.read_document(ROUNDS) is None
    trained = laboratory.train(FOLDS)
    assert [one.reused for one in trained] == [True, True, False, False]
    assert laboratory.trainer.calls == 5


def test_other_rows_are_trained_again(laboratory: Laboratory) -> None:
    laboratory.train(SHOTS)
    assert not any(one.reused for one in laboratory.train(attrs.evolve(SHOTS, seed=9)))
    assert not any(one.reused for one in laboratory.train(attrs.evolve(SHOTS, seed=9), settings="other"))


def test_folds_score_every_row_once(laboratory: Laboratory) -> None:
    laboratory.train(FOLDS)
    evaluation = laboratory.evaluate("folds", FOLDS)
    assert evaluation.rows == 60
    table = laboratory.house.runs.read_table("scores/test/result.parquet")
    assert table["row"].tolist() == list(range(60))
    assert list(table["label"]) == [label for _, label in SPLITS["train"]]
    recomputed = np.mean([(table[f"seed-{seed}"] == table["label"]).mean() for seed in (0, 1)])
    assert evaluation.result["accuracy"].mean == recomputed


def test_scores_of_folds_stand_in_the_order_of_rows(laboratory: Laboratory) -> None:
    laboratory.train(FOLDS)
    laboratory.evaluate("folds", FOLDS, baselines=False)
    whole = laboratory.house.runs.read_table("scores/test/result.parquet")
    for name in ("fold-0", "fold-3"):
        part = laboratory.store(name).read_table("scores/test/result.parquet")
        for column in ("seed-0", "seed-1", "ensemble", "seed-0_probability", "id"):
            assert part[column].tolist() == whole[column][part["row"]].tolist()


def test_draws_are_averaged_and_each_is_told(laboratory: Laboratory) -> None:
    laboratory.train(SHOTS)
    evaluation = laboratory.evaluate("shots", SHOTS)
    assert evaluation.rows == 40
    assert evaluation.protocol is not None
    rounds = evaluation.protocol["rounds"]
    assert [one["name"] for one in rounds] == ["draw-0", "draw-1", "draw-2"]
    assert evaluation.result["accuracy"].mean == pytest.approx(np.mean([one["accuracy"] for one in rounds]))
    assert evaluation.result["accuracy"].sd == pytest.approx(
        np.std([one["accuracy"] for one in rounds], ddof=1)
    )


@pytest.mark.parametrize(("kind", "deal"), [("folds", FOLDS), ("shots", SHOTS)])
def test_rounds_stand_beside_the_controls_of_a_single_run(
    laboratory: Laboratory, kind: Literal["folds", "shots"], deal: DealRounds
) -> None:
    laboratory.train(deal)
    evaluation = laboratory.evaluate(kind, deal)
    heads, linear = ["topic alone", "noise alone", "concat"], ["linear_svm", "logistic_regression"]
    names = ["linear path alone", *heads, *linear]
    assert list(evaluation.controls) == names
    assert evaluation.verdicts["linear_svm"] == "better"
    assert evaluation.verdicts["topic alone"] == "not separable"
    ranked = {row.name: row for row in evaluation.leaderboard}
    assert set(ranked) == {"gated", "ensemble of seeds", *names}
    assert ranked["linear_svm"].note == "C=0.5"


def test_without_baselines_no_control_is_trained(laboratory: Laboratory) -> None:
    laboratory.train(SHOTS)
    assert laboratory.evaluate("shots", SHOTS, baselines=False).controls == {}
    assert laboratory.trainer.calls == 3


def test_splits_under_one_another_are_numbered_through(build: BuildHouse) -> None:
    house = build({"train": examples(8, 1), "validation": examples(5, 2)})
    extraction = house.extract({"a": CountingEncoder()})
    parts = [house.gather(extraction, split) for split in ("train", "validation")]
    whole = stack_splits(parts, [0, 8])
    assert whole.rows.tolist() == list(range(13))
    assert whole.split == "train + validation"
    assert whole.ids[9] == {"split": "validation", "row": 1}
    np.testing.assert_array_equal(np.asarray(whole.sources["a"])[8:], np.asarray(parts[1].sources["a"]))


def test_sparse_embeddings_stand_under_one_another() -> None:
    parts = [csr_array(np.eye(3, dtype=np.float32)), csr_array(np.ones((1, 3), np.float32))]
    whole = stack_rows(parts)
    assert isinstance(whole, csr_array)
    np.testing.assert_array_equal(whole.toarray(), [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]])

"""Training a run's routers: what is kept, reused, refused and trained anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from fakes.heads import CountingProgress
from fakes.routers import NearestPromptTrainer, answers_of, toy_answers
from fakes.stores import MemoryRunStore
from fakes.tracker import RecordingTracker

from fusionapp.adapters.filesystem.run_directory import RunDirectory
from fusionapp.application.ports.router import AnsweredPrompts, Prompts, TrainedRouter
from fusionapp.application.ports.run_store import RunStore
from fusionapp.application.services.train_router import RouterTraining, TrainRouter, flat
from fusionapp.domain.errors import CorruptArtifactError, UsageError
from fusionapp.domain.routing.recipe import RouterRecipe

CARRIED = {"encoders": {"dense": {"identity": {"model": "m"}}}, "data": "d"}


class CountingTrainer(NearestPromptTrainer):
    """Counts how often it trains."""

    def __init__(self) -> None:
        self.trained = 0

    def train(self, *arguments: Any, **named: Any) -> list[TrainedRouter]:
        self.trained += 1
        return list(super().train(*arguments, **named))


@attrs.define
class Bench:
    """A run and what trains in it."""

    runs: RunStore
    trainer: CountingTrainer = attrs.field(factory=CountingTrainer)
    tracker: RecordingTracker = attrs.field(factory=RecordingTracker)

    def train(
        self,
        seeds: tuple[int, ...] = (3, 4),
        data: str = "d",
        rows: AnsweredPrompts | None = None,
        recipe: RouterRecipe | None = None,
        **how: Any,
    ) -> RouterTraining:
        step = TrainRouter(self.trainer, self.runs, lambda _: self.tracker, CountingProgress())
        carried = {**CARRIED, "data": data}
        train, validation = rows or toy_answers(), toy_answers(40, seed=1)
        return step(recipe or RouterRecipe(), seeds, train, validation, carried, **how)

    def router(self, seed: int) -> Path:
        return Path(self.runs.path(f"models/seed-{seed}/router.safetensors"))


@pytest.fixture(params=["memory", "directory"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    return Bench(MemoryRunStore(tmp_path) if request.param == "memory" else RunDirectory(tmp_path / "run"))


def test_each_seeds_router_stands_in_its_own_directory_with_its_card(bench: Bench) -> None:
    training = bench.train()
    assert [router.seed for router in training.routers] == [3, 4]
    assert not training.reused
    card = bench.runs.read_document("models/seed-4/model.json")
    assert card is not None
    assert (card["task"], card["seed"], card["encoders"]) == ("route", 4, CARRIED["encoders"])
    assert card["models"] == list(toy_answers().scores.models)
    assert bench.tracker.closed
    assert bench.runs.verify() == []


def test_routers_of_the_same_data_are_not_trained_twice(bench: Bench) -> None:
    first = bench.train()
    again = bench.train()
    assert again.reused
    assert bench.trainer.trained == 1
    assert again.routers == first.routers
    assert again.seconds == first.seconds


@pytest.mark.parametrize("change", [{"data": "e"}, {"seeds": (3,)}], ids=["data", "seeds"])
def test_routers_of_other_data_or_seeds_are_trained(bench: Bench, change: dict[str, Any]) -> None:
    bench.train()
    assert not bench.train(**change).reused
    assert bench.trainer.trained == 2
    assert bench.train(**change).reused


def test_training_says_how_often_models_are_compared_and_drawn(bench: Bench) -> None:
    rows = toy_answers()
    rare = rows.scores.quality.copy()
    rare[30:, 3] = np.nan
    uneven = answers_of(rows.prompts, rare)
    weighed = bench.train(rows=uneven).balance
    assert weighed is not None
    assert weighed["battles"] == len(uneven.battles.prompts) == 120 * 3 + 30 * 3
    assert 0 < weighed["effective"] < weighed["battles"]
    weak = weighed["models"]["weak"]
    assert weak["comparisons"] == 90
    assert weak["share"] == pytest.approx(90 / 900)
    assert weak["weighed_share"] > 2 * weak["share"]
    assert bench.train(rows=uneven).balance == weighed


def test_training_that_weighs_nothing_says_nothing_of_it(bench: Bench) -> None:
    assert bench.train(recipe=RouterRecipe(balance_model_samples=False)).balance is None


def test_a_training_that_is_cut_short_voids_the_routers_before_it(bench: Bench) -> None:
    bench.train()
    with pytest.raises(UsageError, match="no embeddings"):
        bench.train(data="e", rows=attrs.evolve(toy_answers(), prompts=Prompts(["x"], {})))
    document = bench.runs.read_document("models/trained.json")
    assert document is not None
    assert document["carried"] is None
    assert not bench.train().reused


@pytest.mark.parametrize(
    "damaged",
    [
        [],
        {"seconds": 1.0, "routers": []},
        {"carried": {}, "seconds": 1.0, "routers": {}},
        {"carried": {}, "seconds": 1.0, "routers": [{"directory": ""}]},
    ],
)
def test_what_describes_no_training_is_corrupt(bench: Bench, damaged: Any) -> None:
    bench.train()
    bench.runs.write_document("models/trained.json", damaged)
    with pytest.raises(CorruptArtifactError, match=r"models/trained\.json: does not describe a training"):
        bench.train()


def test_a_changed_router_is_corrupt_and_trained_anew_only_when_told_to(bench: Bench) -> None:
    bench.train()
    before = bench.router(3).read_bytes()
    bench.router(3).write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    with pytest.raises(CorruptArtifactError, match=r"seed-3/router\.safetensors.*--overwrite"):
        bench.train()
    assert not bench.train(overwrite=True).reused
    assert bench.router(3).read_bytes() == before
    assert bench.train().reused


def test_a_share_of_trains_own_prompts_is_familiar(bench: Bench) -> None:
    bench.train(familiar=0.9)
    wide = bench.runs.read_document("familiar.json")
    assert wide is not None
    assert (wide["encoder"], wide["share"]) == ("dense", 0.9)
    assert bench.runs.read_table("familiar.parquet")["embedding"].shape == (120, 12)
    assert bench.train(familiar=0.5).reused
    narrow = bench.runs.read_document("familiar.json")
    assert narrow is not None
    assert narrow["limit"] < wide["limit"]


def test_what_is_familiar_stays_by_the_embeddings_that_the_runs_routers_read(bench: Bench) -> None:
    untuned, tuned = toy_answers(seed=5), toy_answers()
    for share in (0.9, 0.5):
        bench.train(rows=untuned, data="untuned", group="untuned", familiar=share)
        bench.train(rows=tuned, familiar=share)
    kept = bench.runs.read_table("familiar.parquet")["embedding"]
    np.testing.assert_array_equal(kept, flat(tuned.prompts.embeddings["dense"]))


def test_too_few_prompts_leave_open_what_is_familiar(bench: Bench) -> None:
    bench.train(rows=toy_answers(10))
    assert bench.runs.read_document("familiar.json") == {"encoder": None, "share": 0.99}


def test_familiar_rows_of_a_large_train_are_at_even_distances(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fusionapp.application.services.train_router.MOST_FAMILIAR", 40)
    train = toy_answers()
    bench.train(rows=train)
    kept = bench.runs.read_table("familiar.parquet")["embedding"]
    dense = train.prompts.embeddings["dense"]
    assert isinstance(dense, np.ndarray)
    assert kept.shape == (40, 12)
    np.testing.assert_array_equal(kept[[0, -1]], dense[[0, -1], 0])

"""Tuning seed by seed and round by round, and knowing again what was tuned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from fakes.heads import CountingProgress
from fakes.indexes import MemoryIndex
from fakes.tracker import RecordingTracker
from fakes.tuners import WordWeightTuner
from tuning_pairs import recipe, toy_pairs

from fusionapp.adapters.filesystem.run_directory import RunDirectory
from fusionapp.application.ports.encoder_tuner import EncoderTuner, PairSet, TunedEncoder
from fusionapp.application.ports.progress import Progress
from fusionapp.application.ports.tracker import Tracker
from fusionapp.application.services.mine_negatives import MineNegatives
from fusionapp.application.services.tune_encoder import TuneEncoder
from fusionapp.application.services.tuned_rounds import Tuning, read_tuning
from fusionapp.domain.errors import CorruptArtifactError, ResourceError, UsageError
from fusionapp.domain.normalization import l2_normalize
from fusionapp.domain.retrieval.composition import Composition, Stage
from fusionapp.domain.retrieval.recipe import Mining, TuningRecipe
from fusionapp.entrypoints.gateways import scratch_directory

TRAIN, VALIDATION = toy_pairs(24), toy_pairs(12, seed=1)
CARRIED = {"data": "a", "settings": {"train": {"device": "cpu", "epochs": 6}}}


@attrs.define
class WatchedTuner(WordWeightTuner):
    """Remembers what it was given; fails before it has done anything, where it was asked `lasts` times already."""

    model: str | None
    asked: list[tuple[str | None, int, PairSet, str]]
    lasts: int | None = None

    def tune(
        self,
        recipe: TuningRecipe,
        seed: int,
        train: PairSet,
        validation: PairSet,
        directory: str,
        tracker: Tracker,
        progress: Progress,
    ) -> TunedEncoder:
        self.asked.append((self.model, seed, train, directory))
        if self.lasts is not None and len(self.asked) > self.lasts:
            raise ResourceError("memory: gone")
        return super().tune(recipe, seed, train, validation, directory, tracker, progress)


@attrs.define
class Bench:
    """A run directory and what was asked of tuners over it."""

    runs: RunDirectory
    asked: list[tuple[str | None, int, PairSet, str]] = attrs.field(factory=list)
    tracked: list[str] = attrs.field(factory=list)
    lasts: int | None = None

    def tune(self, seeds: tuple[int, ...] = (0, 1), overwrite: bool = False, **how: Any) -> Tuning:
        step = TuneEncoder(
            self._open,
            MineNegatives(self._embed, MemoryIndex(), scratch_directory),
            self.runs,
            self._track,
            CountingProgress(),
        )
        carried = how.pop("carried", CARRIED)
        return step(recipe(**how), list(seeds), TRAIN, VALIDATION, carried, overwrite)

    def _open(self, model: str | None) -> EncoderTuner:
        return WatchedTuner(model, self.asked, self.lasts)

    def _track(self, group: str) -> Tracker:
        self.tracked.append(group)
        return RecordingTracker()

    def _embed(self, model: str) -> tuple[Any, Any]:
        random = np.random.default_rng(0)
        documents = l2_normalize(random.normal(size=(24, 8)).astype(np.float32) + 1)
        return l2_normalize(documents + np.float32(0.1)), documents


def plain(*encoders: TunedEncoder) -> Any:
    """As JSON has them: a tuple is a list."""
    return json.loads(json.dumps([attrs.asdict(one) for one in encoders]))


@pytest.fixture(name="bench")
def _bench(tmp_path: Path) -> Bench:
    return Bench(RunDirectory(tmp_path / "run"))


def test_each_seed_gets_a_model_and_a_tracker(bench: Bench) -> None:
    tuning = bench.tune()
    assert not tuning.reused
    assert [(seed, Path(one.directory).is_dir()) for seed, one in tuning.encoders.items()] == [
        (0, True),
        (1, True),
    ]
    assert bench.tracked == ["models/seed-0", "models/seed-1"]
    assert bench.runs.verify() == []


def test_the_same_again_is_read_and_not_tuned(bench: Bench) -> None:
    first = bench.tune()
    bench.asked.clear()
    again = bench.tune()
    assert again.reused
    assert bench.asked == []
    assert plain(*again.encoders.values()) == plain(*first.encoders.values())
    assert again.seconds == first.seconds


def test_the_device_makes_no_other_training(bench: Bench) -> None:
    bench.tune()
    elsewhere = {**CARRIED, "settings": {"train": {"device": "cuda", "epochs": 6}}}
    assert bench.tune(carried=elsewhere).reused


def test_other_data_are_refused_and_replaced_where_asked(bench: Bench) -> None:
    bench.tune()
    other = {**CARRIED, "data": "b"}
    with pytest.raises(UsageError, match="--overwrite"):
        bench.tune(carried=other)
    assert bench.tune().reused
    assert not bench.tune(carried=other, overwrite=True).reused
    assert bench.tune(carried=other).reused


def test_fewer_seeds_leave_nothing_of_the_others(bench: Bench) -> None:
    bench.tune()
    bench.tune(seeds=(0,), overwrite=True)
    assert not Path(bench.runs.path("models/seed-1/model/words.json")).exists()
    assert bench.runs.verify() == []


def test_a_changed_model_is_corrupt_unless_it_is_to_be_replaced(bench: Bench) -> None:
    bench.tune()
    place = Path(bench.runs.path("models/seed-1/model/words.json"))
    place.write_text("{}", encoding="utf-8")
    with pytest.raises(CorruptArtifactError, match=r"seed-1/model/words\.json"):
        bench.tune()
    assert not bench.tune(overwrite=True).reused
    assert bench.runs.verify() == []


def test_a_refused_recipe_costs_nothing_that_stands_there(bench: Bench) -> None:
    bench.tune()
    with pytest.raises(UsageError, match="negatives_pool"):
        bench.tune(carried={"data": "b"}, overwrite=True, negatives_pool=1000)
    assert bench.tune().reused


def test_a_training_that_failed_is_not_taken_for_the_one_before(bench: Bench) -> None:
    bench.tune()
    bench.lasts = len(bench.asked)
    with pytest.raises(ResourceError):
        bench.tune(carried={"data": "b"}, overwrite=True)
    assert read_tuning(bench.runs) is None
    bench.lasts = None
    assert not bench.tune().reused


def test_seeds_that_were_finished_before_the_end_are_not_tuned_again(bench: Bench) -> None:
    bench.lasts = 2
    with pytest.raises(ResourceError):
        bench.tune(seeds=(0, 1, 2))
    assert read_tuning(bench.runs) is None
    bench.lasts = None
    tuning = bench.tune(seeds=(0, 1, 2))
    assert [seed for _, seed, _, _ in bench.asked] == [0, 1, 2, 2]
    assert (list(tuning.seeds), tuning.reused) == ([0, 1, 2], False)
    assert bench.tune(seeds=(0, 1, 2)).reused
    assert bench.runs.verify() == []


@pytest.mark.parametrize("last", [1, 2])
def test_rounds_that_were_finished_before_the_end_are_not_tuned_again(bench: Bench, last: int) -> None:
    mining = Mining(rounds=2, negatives=2)
    bench.lasts = last
    with pytest.raises(ResourceError):
        bench.tune(seeds=(3,), mining=mining)
    bench.lasts = None
    tuning = bench.tune(seeds=(3,), mining=mining)
    assert [Path(directory).name for *_, directory in bench.asked[last:]] == [
        *(["1"] if last == 1 else []) * 2,
        "seed-3",
        *(["seed-3"] if last == 2 else []),
    ]
    assert len(tuning.seeds[3]) == 3
    assert tuning.seeds[3][1].mined is not None
    assert bench.runs.verify() == []


@pytest.mark.parametrize("last", [1, 2])
def test_a_finished_round_that_was_changed_is_tuned_again(bench: Bench, last: int) -> None:
    mining = Mining(rounds=2, negatives=2)
    bench.lasts = last
    with pytest.raises(ResourceError):
        bench.tune(seeds=(3,), mining=mining)
    Path(bench.runs.path("models/seed-3/rounds/0/model/words.json")).write_text("{}", encoding="utf-8")
    bench.lasts = None
    bench.tune(seeds=(3,), mining=mining)
    assert len(bench.asked) == last + 1 + 3
    assert bench.runs.verify() == []


def test_finished_seeds_of_other_settings_are_not_kept(bench: Bench) -> None:
    bench.lasts = 1
    with pytest.raises(ResourceError):
        bench.tune()
    bench.lasts = None
    bench.tune(carried={"data": "b"})
    assert [seed for _, seed, _, _ in bench.asked] == [0, 1, 0, 1]


def test_a_composition_that_the_pairs_cannot_have_costs_nothing_that_stands_there(bench: Bench) -> None:
    bench.tune()
    composition = Composition(main=("nowhere",), schedule=(Stage(1.0, 1, 0, 0, 0, 0),))
    with pytest.raises(UsageError, match=r"composition\.main: no training pair has a topic of nowhere"):
        bench.tune(carried={"data": "b"}, overwrite=True, composition=composition)
    assert bench.tune().reused


def test_pairs_that_a_composition_never_draws_are_counted(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    topic = next(iter(TRAIN.topics))
    left = sum(TRAIN.topics[row] != topic for row in TRAIN.pairs[:, 1])
    assert 0 < left < 24
    named = Composition(main=(str(topic),), other=("nowhere",), schedule=(Stage(1.0, 1, 0, 0, 0, 0),))
    bench.tune(composition=named)
    assert f"{left} of 24 training pairs have topics that no kind names" in caplog.text


@pytest.mark.parametrize("content", [[], {}, {"carried": {}}])
def test_a_document_that_describes_no_tuning_is_corrupt(bench: Bench, content: Any) -> None:
    bench.runs.write_document("models/trained.json", content)
    said = r"trained\.json: does not describe a tuning"
    with pytest.raises(CorruptArtifactError, match=said):
        read_tuning(bench.runs)
    with pytest.raises(CorruptArtifactError, match=said):
        bench.tune()


def test_a_round_goes_on_from_the_model_of_the_one_before_with_mined_negatives(bench: Bench) -> None:
    tuning = bench.tune(seeds=(3,), mining=Mining(rounds=2, negatives=2))
    root = Path(bench.runs.path("models/seed-3"))
    models = [model for model, _, _, _ in bench.asked]
    assert models == [None, str(root / "rounds/0/model"), str(root / "rounds/1/model")]
    assert [Path(directory) for *_, directory in bench.asked] == [root / "rounds/0", root / "rounds/1", root]
    assert len({seed for _, seed, _, _ in bench.asked}) == 3
    assert [train.negatives.shape for _, _, train, _ in bench.asked] == [(24, 0), (24, 2), (24, 2)]
    assert tuning.encoders[3].directory == str(root / "model")
    read = read_tuning(bench.runs)
    assert read is not None
    kept, made = ([one.encoder for one in found.seeds[3]] for found in (read, tuning))
    assert plain(*kept) == plain(*made)
    mined = tuning.seeds[3][2].mined
    assert mined is not None
    assert read.seeds[3][2].mined is not None
    assert read.seeds[3][2].mined.summary() == mined.summary()


def test_the_best_seed_is_that_of_the_best_validation(bench: Bench) -> None:
    tuning = bench.tune()
    found = json.loads(Path(bench.runs.path("models/trained.json")).read_text(encoding="utf-8"))
    found["seeds"]["1"][-1]["encoder"]["validation"]["mrr@10"] = 2.0
    bench.runs.write_document("models/trained.json", found)
    read = read_tuning(bench.runs)
    assert read is not None
    assert read.best_seed == 1
    assert tuning.best_seed == 0

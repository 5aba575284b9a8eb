"""A search keeps every trial, goes on where it was killed, and changes settings for more than noise alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs
import numpy as np
import pytest
from fakes.heads import CountingProgress
from fakes.samplers import RandomSampler
from fakes.stores import MemoryRunStore
from fakes.tracker import RecordingTracker
from numpy.typing import NDArray

from fusionapp.application.ports.heads import HeadScorer, HeadTrainer, LabelledEmbeddings, TrainedHead
from fusionapp.application.ports.linear_path import LinearPath, PathScores
from fusionapp.application.services.fit_linear_path import FitLinearPath
from fusionapp.application.services.prepare_classification import ClassificationData
from fusionapp.application.services.search_recipe import SEARCH, Search, SearchRecipe, read_search
from fusionapp.application.services.try_settings import TrySettings
from fusionapp.domain.embeddings import Embeddings
from fusionapp.domain.errors import CorruptArtifactError, ResourceError, UsageError
from fusionapp.domain.fusion.spec import FusionSpec
from fusionapp.domain.recipe import TrainingRecipe
from fusionapp.domain.search import Choice, Span

SPACE = (Span("train.dropout", 0.0, 0.8), Choice("train.batch_size", (128, 256)))
RECIPE = TrainingRecipe(dropout=0.4, linear_path="none")
ROWS = 800


class DropoutTrainer(HeadTrainer):
    """Heads that get a share of rows right that falls with the dropout they are trained by.

    Attributes:
        slope: how steeply.
        fails_at: which training is cut short.
        cut: by what.
        calls: (dropout, seeds) of every training.
        linear: whether the rows came with a linear path's scores, of every training.
    """

    def __init__(
        self, slope: float = 0.5, fails_at: int | None = None, cut: type[BaseException] = KeyboardInterrupt
    ) -> None:
        self.slope, self.fails_at, self.cut = slope, fails_at, cut
        self.calls: list[tuple[float, list[int]]] = []
        self.linear: list[bool] = []

    def train(self, **how: Any) -> Sequence[TrainedHead]:  # type: ignore[override]  # the port's, by name
        recipe = how["recipe"]
        self.calls.append((recipe.dropout, list(how["seeds"])))
        self.linear.append(how["train"].linear is not None and how["validation"].linear is not None)
        if len(self.calls) == self.fails_at:
            raise self.cut("memory ran out")
        if recipe.batch_size == 128 and how["fusion"].kind == "moe":
            raise UsageError("no moe of 128")
        heads = []
        for seed, directory in zip(how["seeds"], how["directories"], strict=True):
            right = 0.9 - self.slope * recipe.dropout + 0.002 * (seed % 3)
            Path(directory).mkdir(parents=True)
            Path(directory, "right").write_text(str(right), encoding="utf-8")
            metrics = {"accuracy": right, "macro_f1": right, "weighted_f1": right, "loss": 1 - right}
            heads.append(TrainedHead(directory, seed, 1, 1, 1, metrics))
        return heads


class DropoutScorer(HeadScorer):
    """Says class 0, rightly, of the share of rows that the head gets right."""

    def score(
        self,
        directories: Sequence[str],
        sources: Mapping[str, Embeddings],
        linear: NDArray[np.float32] | None = None,
        batch_rows: int = 1024,
    ) -> NDArray[np.float32]:
        scored = np.zeros((len(directories), ROWS, 2), np.float32)
        for position, directory in enumerate(directories):
            right = float(Path(directory, "right").read_text(encoding="utf-8")) * ROWS
            scored[position, :, 0] = np.where(np.arange(ROWS) < right, 0.8, 0.2)
        scored[..., 1] = 1 - scored[..., 0]
        return scored


class SilentPath(LinearPath):
    """A linear path that prefers no class, and counts its fits."""

    def __init__(self) -> None:
        self.fits = 0

    def fit(self, **how: Any) -> PathScores:  # type: ignore[override]  # the port's, by name
        self.fits += 1
        classes = how["classes"]
        scores = [np.zeros((len(how[part].labels), classes), np.float32) for part in ("train", "validation")]
        return PathScores(1.0, {1.0: 0.5}, *scores)

    def score(self, directory: str, sources: Mapping[str, Embeddings]) -> NDArray[np.float32]:
        raise NotImplementedError("a search scores validation rows alone, which fit gave")


@attrs.define
class Job:
    """A search over fakes."""

    runs: MemoryRunStore = attrs.field(factory=MemoryRunStore)
    trainer: DropoutTrainer = attrs.field(factory=DropoutTrainer)
    path: SilentPath = attrs.field(factory=SilentPath)
    left: list[str] = attrs.field(factory=list)

    def __call__(
        self, trials: int, recipe: TrainingRecipe = RECIPE, fusion: FusionSpec | None = None, **how: Any
    ) -> Search:
        progress = CountingProgress()
        fit_path = FitLinearPath(self.path, progress)
        attempt = TrySettings(
            self.trainer, DropoutScorer(), fit_path, self._scratch, RecordingTracker(), progress
        )
        search = SearchRecipe(attempt, RandomSampler(), self.runs, progress)
        return search(
            settings={"train": {}},
            fusion=fusion or FusionSpec(),
            recipe=recipe,
            seeds=[0, 1, 2],
            data=DATA,
            trials=trials,
            **{"space": SPACE, "carried": {"data": "x"}, **how},
        )

    @contextmanager
    def _scratch(self) -> Iterator[str]:
        with TemporaryDirectory() as directory:
            self.left.append(directory)
            yield directory


def rows(count: int) -> LabelledEmbeddings:
    return LabelledEmbeddings({"a": np.zeros((count, 1, 2), np.float32)}, np.zeros(count, np.int64))


DATA = ClassificationData(["a", "b"], rows(30), rows(ROWS), np.arange(30), np.arange(ROWS), "validation")


def decided(search: Search) -> Any:
    assert search.decision is not None
    return search.decision


def test_the_first_trial_is_the_experiments_own_settings() -> None:
    search = Job()(4)
    assert search.trials[0].values == {"train.dropout": 0.4, "train.batch_size": 256}
    assert len(search.trials) == 4


def test_trials_train_two_seeds_that_the_final_training_does_not_use() -> None:
    job = Job()
    job(4)
    assert [seeds for _, seeds in job.trainer.calls[:4]] == [[3, 4]] * 4


def test_a_clear_gain_is_taken() -> None:
    search = Job()(8)
    best = max(search.trials, key=lambda one: one.score or 0.0)
    decision = decided(search)
    assert decision.tuned
    assert decision.values == best.values
    assert decision.best - decision.own > decision.noise > 0


def test_a_gain_that_may_be_noise_is_not_taken() -> None:
    job = Job(trainer=DropoutTrainer(slope=0.002))
    decision = decided(job(8))
    assert decision.best > decision.own
    assert not decision.tuned
    assert decision.values == {"train.dropout": 0.4, "train.batch_size": 256}


def test_the_best_trial_and_the_own_settings_are_trained_anew_by_the_runs_own_seeds() -> None:
    job = Job()
    search = job(6)
    best = max(search.trials, key=lambda one: one.score or 0.0)
    assert job.trainer.calls[6:] == [(0.4, [0, 1, 2]), (best.values["train.dropout"], [0, 1, 2])]


def test_own_settings_that_nothing_beats_stay() -> None:
    job = Job(trainer=DropoutTrainer(slope=-0.01))
    decision = decided(job(1))
    assert not decision.tuned
    assert (decision.own, decision.noise, decision.trials) == (decision.best, 0.0, 1)


def test_of_a_loss_less_is_better() -> None:
    search = Job()(8, recipe=attrs.evolve(RECIPE, metric="loss"))
    assert all((one.score or 0.0) < 0 for one in search.trials)
    assert decided(search).tuned
    assert decided(search).values["train.dropout"] < 0.4


def test_every_trial_is_written_down_as_it_ends() -> None:
    job = Job(trainer=DropoutTrainer(fails_at=4))
    with pytest.raises(KeyboardInterrupt):
        job(6)
    kept = read_search(job.runs)
    assert kept is not None
    assert (len(kept.trials), kept.decision) == (3, None)


def test_a_killed_search_ends_as_one_that_was_not() -> None:
    killed, whole = Job(trainer=DropoutTrainer(fails_at=4)), Job()
    with pytest.raises(KeyboardInterrupt):
        killed(6)
    killed.trainer.fails_at = None
    ended, straight = killed(6), whole(6)
    assert [one.values for one in ended.trials] == [one.values for one in straight.trials]
    assert ended.decision == straight.decision
    assert len(killed.trainer.calls) == 1 + len(whole.trainer.calls)


def test_settings_for_which_memory_runs_out_are_a_trial_without_a_score() -> None:
    search = Job(trainer=DropoutTrainer(fails_at=3, cut=ResourceError))(6)
    assert [one.problem for one in search.trials if one.score is None] == ["memory ran out"]
    assert decided(search).trials == 6


def test_a_finished_search_trains_nothing() -> None:
    job = Job()
    first = job(5)
    trained = len(job.trainer.calls)
    assert job(5) == read_search(job.runs) == first
    assert len(job.trainer.calls) == trained


def test_more_trials_go_on_from_the_ones_there_are() -> None:
    job = Job()
    first = job(3)
    more = job(5)
    assert more.trials[:3] == first.trials
    assert decided(more).trials == 5


@pytest.mark.parametrize("how", [{"carried": {"data": "y"}}, {"space": SPACE[:1]}])
def test_other_data_or_another_space_begins_anew_only_where_that_is_asked_for(how: dict[str, Any]) -> None:
    job = Job()
    first = job(3)
    with pytest.raises(UsageError, match="give --overwrite to search anew"):
        job(3, **how)
    assert read_search(job.runs) == first
    before = len(job.trainer.calls)
    job(3, anew=True, **how)
    assert len(job.trainer.calls) - before >= 3


def test_a_search_goes_on_on_another_device() -> None:
    job = Job()
    first = job(3, carried={"settings": {"train": {"device": "cpu"}}})
    more = job(4, carried={"settings": {"train": {"device": "cuda:0"}}})
    assert more.trials[:3] == first.trials


def test_no_trial_starts_once_the_time_is_spent() -> None:
    assert len(Job()(50, seconds=0.0).trials) == 1


def test_settings_that_cannot_be_trained_are_a_trial_without_a_score(
    caplog: pytest.LogCaptureFixture,
) -> None:
    search = Job()(12, fusion=FusionSpec(kind="moe"))
    failed = [one for one in search.trials if one.score is None]
    assert {one.problem for one in failed} == {"no moe of 128"}
    assert 0 < len(failed) < 12
    assert "no moe of 128" in caplog.text


def test_own_settings_that_cannot_be_trained_end_the_search() -> None:
    with pytest.raises(UsageError, match="own settings cannot be trained: no moe of 128"):
        Job()(5, attrs.evolve(RECIPE, batch_size=128), FusionSpec(kind="moe"))


def test_the_linear_path_is_fitted_once_for_all_trials_and_once_for_the_decision() -> None:
    job = Job()
    job(5, recipe=attrs.evolve(RECIPE, linear_path="linear_svm"))
    assert job.path.fits == 2  # folds are those of the seeds that train beside it
    assert all(job.trainer.linear)


def test_no_heads_of_trials_are_left_behind() -> None:
    job = Job()
    job(4)
    assert job.left
    assert not any(Path(directory).exists() for directory in job.left)


def test_what_is_no_search_is_corrupt() -> None:
    job = Job()
    job(2)
    document = json.loads(json.dumps(job.runs.read_document(SEARCH)))
    spoiled: Any
    for spoiled in ({}, {**document, "trials": [{"x": 1}]}, {**document, "decision": {"tuned": True}}, []):
        job.runs.write_document(SEARCH, spoiled)
        with pytest.raises(CorruptArtifactError, match="is no search"):
            read_search(job.runs)

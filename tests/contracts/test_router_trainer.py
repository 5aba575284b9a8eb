"""What every router trainer and what opens its routers promise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import attrs
import numpy as np
import pytest
from fakes.heads import CountingProgress
from fakes.routers import MODELS, NearestPromptRouters, NearestPromptTrainer, answers_of, toy_answers
from fakes.tracker import RecordingTracker

from fusionapp.adapters.routers.bases import StackBases
from fusionapp.adapters.torch_routers.opened import TorchRouters
from fusionapp.adapters.torch_routers.trainer import TorchRouterTrainer
from fusionapp.application.ports.router import (
    AnsweredPrompts,
    Prompts,
    Router,
    Routers,
    RouterTrainer,
    TrainedRouter,
)
from fusionapp.domain.errors import CorruptArtifactError, UsageError
from fusionapp.domain.routing.recipe import RouterRecipe

RECIPE = RouterRecipe(
    hidden_dims=(16,),
    embedding_dims=(8,),
    embedding_model_epochs=2,
    epochs=3,
    learning_rate=0.01,
    device="cpu",
)
SEEDS = (3, 5)


@attrs.frozen
class Pair:
    trainer: RouterTrainer
    routers: Routers
    recipe: RouterRecipe = RECIPE


PAIRS = {
    "torch over the stack": Pair(TorchRouterTrainer(StackBases()), TorchRouters(StackBases())),
    "torch alone": Pair(
        TorchRouterTrainer(StackBases()),
        TorchRouters(StackBases()),
        attrs.evolve(RECIPE, base="none", epochs=12, score="two_towers"),
    ),
    "nearest prompts": Pair(NearestPromptTrainer(), NearestPromptRouters()),
}


@pytest.fixture(params=PAIRS, name="pair")
def _pair(request: pytest.FixtureRequest) -> Pair:
    return PAIRS[request.param]


def fit(
    pair: Pair,
    folder: Path,
    train: AnsweredPrompts | None = None,
    validation: AnsweredPrompts | None = None,
) -> Sequence[TrainedRouter]:
    return pair.trainer.train(
        pair.recipe,
        SEEDS,
        train or toy_answers(),
        validation or toy_answers(60, seed=1),
        [str(folder / f"seed-{seed}") for seed in SEEDS],
        RecordingTracker(),
        CountingProgress(),
    )


def fit_and_open(pair: Pair, folder: Path, train: AnsweredPrompts | None = None) -> Router:
    return pair.routers.open([router.directory for router in fit(pair, folder, train)])


def test_each_seed_gets_a_router_in_its_own_directory(pair: Pair, tmp_path: Path) -> None:
    routers = fit(pair, tmp_path)
    assert [router.seed for router in routers] == list(SEEDS)
    for router in routers:
        assert {"router.json", "router.safetensors"} <= {
            each.name for each in Path(router.directory).iterdir()
        }


def test_the_epoch_kept_and_its_validation_metrics_are_reported(pair: Pair, tmp_path: Path) -> None:
    for router in fit(pair, tmp_path):
        assert 0 <= router.best_epoch <= router.epochs
        assert router.parameters > 0
        assert set(router.validation) == {"quality", "pairwise_accuracy", "loss"}


def test_scores_are_float32_within_minus_1_and_1_for_each_prompt_and_model(
    pair: Pair, tmp_path: Path
) -> None:
    router = fit_and_open(pair, tmp_path)
    scores = router.score(toy_answers(40, seed=2).prompts)
    assert tuple(router.models) == MODELS
    assert scores.shape == (40, 4)
    assert scores.dtype == np.float32
    assert np.abs(scores).max() <= 1


def test_success_lies_within_0_and_1_and_rises_with_the_score(pair: Pair, tmp_path: Path) -> None:
    router = fit_and_open(pair, tmp_path)
    scores = np.linspace(-1, 1, 40, dtype=np.float32).reshape(10, 4)
    success = router.success(scores)
    assert success.shape == (10, 4)
    assert success.dtype == np.float32
    assert success.min() >= 0
    assert success.max() <= 1
    assert (np.diff(success.ravel()) >= 0).all()


def test_a_learnable_toy_is_learned(pair: Pair, tmp_path: Path) -> None:
    fresh = toy_answers(60, seed=2)
    scores = fit_and_open(pair, tmp_path).score(fresh.prompts)
    chosen = fresh.scores.quality[np.arange(60), scores.argmax(1)].mean()
    assert chosen > fresh.scores.quality.mean(0).max() + 0.15


def test_the_same_seeds_give_the_same_bits(pair: Pair, tmp_path: Path) -> None:
    for name in ("one", "two"):
        fit(pair, tmp_path / name)
    for seed in SEEDS:
        first, second = (
            (tmp_path / name / f"seed-{seed}" / "router.safetensors").read_bytes() for name in ("one", "two")
        )
        assert first == second


def test_opened_twice_a_router_scores_bit_for_bit_the_same(pair: Pair, tmp_path: Path) -> None:
    directories = [router.directory for router in fit(pair, tmp_path)]
    prompts = toy_answers(40, seed=2).prompts
    first, second = (pair.routers.open(directories).score(prompts) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_answers_that_are_not_known_are_done_without(pair: Pair, tmp_path: Path) -> None:
    router = fit_and_open(pair, tmp_path, toy_answers(unknown=0.4))
    fresh = toy_answers(60, seed=2)
    chosen = fresh.scores.quality[np.arange(60), router.score(fresh.prompts).argmax(1)].mean()
    assert chosen > fresh.scores.quality.mean(0).max() + 0.1


def test_a_model_that_never_answered_in_train_is_left_out(pair: Pair, tmp_path: Path) -> None:
    quality = toy_answers().scores.quality.copy()
    quality[:, 1] = np.nan
    router = fit_and_open(pair, tmp_path, answers_of(toy_answers().prompts, quality))
    assert tuple(router.models) == ("algebra", "both", "weak")
    assert router.score(toy_answers(7, seed=2).prompts).shape == (7, 3)


def test_no_prompts_score_nothing(pair: Pair, tmp_path: Path) -> None:
    empty = Prompts([], {"dense": np.empty((0, 1, 12), dtype=np.float32)})
    assert fit_and_open(pair, tmp_path).score(empty).shape == (0, 4)


def test_prompts_without_the_embeddings_of_train_are_refused(pair: Pair, tmp_path: Path) -> None:
    router = fit_and_open(pair, tmp_path)
    with pytest.raises(UsageError, match="dense"):
        router.score(Prompts(["sum"], {}))


def test_embeddings_of_another_width_are_refused(pair: Pair, tmp_path: Path) -> None:
    router = fit_and_open(pair, tmp_path)
    with pytest.raises(UsageError, match="dense"):
        router.score(Prompts(["sum"], {"dense": np.zeros((1, 1, 11), dtype=np.float32)}))


def test_training_without_embeddings_is_refused(pair: Pair, tmp_path: Path) -> None:
    bare = answers_of(Prompts(toy_answers().prompts.texts, {}), toy_answers().scores.quality)
    with pytest.raises(UsageError, match="embeddings"):
        fit(pair, tmp_path, bare)


def test_train_and_validation_of_different_models_are_refused(pair: Pair, tmp_path: Path) -> None:
    toy = toy_answers(60, seed=1)
    other = answers_of(toy.prompts, toy.scores.quality, ("a", "b", "c", "d"))
    with pytest.raises(UsageError, match="different models"):
        fit(pair, tmp_path, validation=other)


def test_opening_nothing_is_refused(pair: Pair) -> None:
    with pytest.raises(UsageError, match="no router"):
        pair.routers.open([])


def test_routers_over_different_models_do_not_open_together(pair: Pair, tmp_path: Path) -> None:
    quality = toy_answers().scores.quality.copy()
    quality[:, 1] = np.nan
    fewer = fit(pair, tmp_path / "fewer", answers_of(toy_answers().prompts, quality))
    whole = fit(pair, tmp_path / "whole")
    with pytest.raises(UsageError, match="models"):
        pair.routers.open([whole[0].directory, fewer[0].directory])


@pytest.mark.parametrize("name", ["router.json", "router.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "cut", "changed"])
def test_a_damaged_file_is_told(pair: Pair, tmp_path: Path, name: str, damage: str) -> None:
    directory = fit(pair, tmp_path)[0].directory
    path = Path(directory, name)
    content = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    else:
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(content[: len(content) // 2] if damage == "cut" else content)
    with pytest.raises(CorruptArtifactError, match="router"):
        pair.routers.open([directory])

"""Both phases of a torch router, and what is kept of the second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import torch
from fakes.heads import CountingProgress
from fakes.routers import MODELS, answers_of, toy_answers
from fakes.tracker import RecordingTracker
from torch.nn.functional import leaky_relu

from fusionapp.adapters.routers.bases import StackBases
from fusionapp.adapters.torch_routers.artefact import load_router
from fusionapp.adapters.torch_routers.model_embeddings import AttentiveModels
from fusionapp.adapters.torch_routers.network import RouterNetwork
from fusionapp.adapters.torch_routers.opened import RouterEnsemble, TorchRouters
from fusionapp.adapters.torch_routers.saved_models import load_model_embeddings
from fusionapp.adapters.torch_routers.share import choose_share
from fusionapp.adapters.torch_routers.stacked import state_of
from fusionapp.adapters.torch_routers.trainer import TorchRouterTrainer
from fusionapp.application.ports.router import AnsweredPrompts, TrainedRouter
from fusionapp.domain.errors import CorruptArtifactError, UsageError
from fusionapp.domain.routing.features import prompt_features
from fusionapp.domain.routing.recipe import RouterRecipe

ALONE = RouterRecipe(
    hidden_dims=(16, 8),
    embedding_dims=(8,),
    embedding_model_epochs=5,
    epochs=15,
    patience=15,
    learning_rate=0.03,
    dropout=0.1,
    base="none",
    device="cpu",
)


def fit(
    recipe: RouterRecipe,
    folder: Path,
    train: AnsweredPrompts | None = None,
    tracker: RecordingTracker | None = None,
    seed: int = 0,
) -> TrainedRouter:
    (router,) = TorchRouterTrainer(StackBases()).train(
        recipe,
        [seed],
        train or toy_answers(),
        toy_answers(60, seed=1),
        [str(folder)],
        tracker or RecordingTracker(),
        CountingProgress(),
    )
    return router


def gain(folder: Path) -> float:
    """Mean quality of the chosen model above the best single one's, on fresh prompts."""
    fresh = toy_answers(80, seed=2)
    scores = opened(folder).score(fresh.prompts)
    quality = fresh.scores.quality
    return float(quality[np.arange(80), scores.argmax(1)].mean() - quality.mean(0).max())


def opened(folder: Path) -> RouterEnsemble:
    return TorchRouters(StackBases()).open([str(folder)])


@pytest.mark.parametrize(
    "changed",
    [
        {"loss": "margin"},
        {"loss": "bradley_terry", "optimizer": "adam"},
        {"loss": "rao_kupper"},
        {"loss": "bradley_terry", "both_bad": "ignore", "balance_model_samples": False},
        {"optimizer": "muon"},
        {"score": "two_towers"},
        {"score": "two_towers", "loss": "margin", "features": False},
        {"model_embeddings": "attention"},
        {"model_embeddings": "learned"},
        {"finetune_model_embeddings": True, "calibration": "temperature"},
    ],
    ids=lambda changed: ", ".join(f"{name}={value}" for name, value in changed.items()),
)
def test_every_way_learns_the_toy(changed: dict[str, Any], tmp_path: Path) -> None:
    fit(attrs.evolve(ALONE, **changed), tmp_path)
    assert gain(tmp_path) > 0.15


def test_each_epoch_is_told_with_losses_and_pairwise_accuracies(tmp_path: Path) -> None:
    tracker = RecordingTracker()
    router = fit(attrs.evolve(ALONE, epochs=3), tmp_path, tracker=tracker)
    epochs = [(step, metrics) for run, step, metrics in tracker.logged if run == "seed-0"]
    assert [step for step, _ in epochs] == [1, 2, 3]
    for _, metrics in epochs:
        assert {
            f"{split}_{name}" for split in ("train", "validation") for name in ("loss", "pairwise_accuracy")
        } <= {*metrics}
    first_phase = [
        metrics["train_loss"] for run, _, metrics in tracker.logged if run == "seed-0-model-embeddings"
    ]
    assert len(first_phase) == 5
    assert first_phase[-1] < first_phase[0]
    assert router.epochs == 3


def test_training_stops_when_validation_gains_no_more(tmp_path: Path) -> None:
    router = fit(attrs.evolve(ALONE, epochs=200, patience=2), tmp_path)
    assert router.epochs < 200
    assert router.epochs - router.best_epoch == 2


@pytest.mark.parametrize("seed", [0, 1, 4])
def test_models_that_win_on_the_same_prompts_lie_together(seed: int, tmp_path: Path) -> None:
    quality = toy_answers().scores.quality.copy()
    quality[:, 2] = quality[:, 0]  # a twin of "algebra"
    fit(
        attrs.evolve(ALONE, epochs=1, embedding_model_epochs=20),
        tmp_path,
        answers_of(toy_answers().prompts, quality),
        seed=seed,
    )
    embeddings = load_model_embeddings(str(tmp_path), MODELS)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
    algebra, poetry, twin, _ = embeddings
    assert algebra @ twin > algebra @ poetry + 0.5


def test_attention_looks_only_at_answered_prompts() -> None:
    torch.manual_seed(0)
    learner = AttentiveModels(4, (3,))
    prompts, quality = torch.randn(1, 6, 4), torch.randn(1, 6, 2)
    quality[:, 2:, 1] = float("nan")
    whole = learner.pooled(prompts, quality)
    torch.testing.assert_close(whole[:, 1], learner.pooled(prompts[:, :2], quality[:, :2])[:, 1])
    assert whole.isfinite().all()


def test_frozen_model_embeddings_stay_and_others_move(tmp_path: Path) -> None:
    fit(ALONE, tmp_path / "frozen")
    loading = attrs.evolve(ALONE, load_embedding_model_from=str(tmp_path / "frozen"))
    fit(loading, tmp_path / "loaded", seed=1)
    fit(attrs.evolve(loading, finetune_model_embeddings=True), tmp_path / "moved", seed=1)
    frozen, loaded, moved = (
        load_model_embeddings(str(tmp_path / name), MODELS) for name in ("frozen", "loaded", "moved")
    )
    np.testing.assert_array_equal(frozen, loaded)
    assert not np.allclose(frozen, moved, atol=1e-3)


def test_the_first_phase_is_left_out_where_embeddings_are_loaded(tmp_path: Path) -> None:
    tracker = RecordingTracker()
    fit(ALONE, tmp_path / "models" / "seed-0")
    fit(attrs.evolve(ALONE, load_embedding_model_from=str(tmp_path)), tmp_path / "new", tracker=tracker)
    assert {run for run, _, _ in tracker.logged} == {"seed-0"}


def test_embeddings_are_loaded_by_name_whatever_their_order(tmp_path: Path) -> None:
    fit(attrs.evolve(ALONE, epochs=1), tmp_path)
    forward = load_model_embeddings(str(tmp_path), MODELS)
    np.testing.assert_array_equal(load_model_embeddings(str(tmp_path), MODELS[::-1]), forward[::-1])
    with pytest.raises(UsageError, match="stranger"):
        load_model_embeddings(str(tmp_path), ["stranger"])


def test_a_place_without_model_embeddings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="load_embedding_model_from"):
        load_model_embeddings(str(tmp_path), MODELS)


def test_damaged_model_embeddings_are_told(tmp_path: Path) -> None:
    fit(attrs.evolve(ALONE, epochs=1), tmp_path)
    path = tmp_path / "model_embeddings" / "model_embeddings.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CorruptArtifactError, match="model_embeddings"):
        load_model_embeddings(str(tmp_path), MODELS)


def test_a_network_begins_at_the_base() -> None:
    for score in ("mlp", "two_towers"):
        network = RouterNetwork(score, 5, torch.randn(3, 4), (8, 8), 0.5, finetune_models=False).eval()
        torch.testing.assert_close(network(torch.randn(7, 5)), torch.zeros(1, 7, 3))


def test_the_mlp_reads_a_prompt_and_a_model_joined() -> None:
    torch.manual_seed(0)
    network = RouterNetwork("mlp", 5, torch.randn(3, 4), (8, 6), 0.0, finetune_models=False).eval()
    torch.nn.init.normal_(network.last.weight)
    prompts = torch.randn(7, 5)
    state = state_of(network, 0)
    joint = torch.cat([state["first.weight"], state["of_model.weight"]], dim=1)
    for row in range(7):
        for model in range(3):
            x = torch.cat([prompts[row], state["models"][model]])
            hidden = leaky_relu(joint @ x + state["first.bias"])
            hidden = leaky_relu(state["inner.0.weight"] @ hidden + state["inner.0.bias"])
            expected = state["last.weight"] @ hidden + state["last.bias"]
            torch.testing.assert_close(network(prompts)[0, row, model], expected[0])


def test_a_network_that_gains_nothing_has_no_say(tmp_path: Path) -> None:
    recipe = attrs.evolve(ALONE, base="stack", learning_rate=1e-9, epochs=2)
    router = fit(recipe, tmp_path)
    assert router.best_epoch == 0
    assert load_router(str(tmp_path))[0].share == 0
    fresh = toy_answers(40, seed=2).prompts
    train = toy_answers()
    base = StackBases().fit(train, prompt_features(train.prompts.texts)).base
    expected = 2 * base.quality(fresh, prompt_features(fresh.texts)) - 1
    np.testing.assert_allclose(opened(tmp_path).score(fresh), expected, atol=1e-5)


def test_the_share_is_that_of_the_best_chosen_answers() -> None:
    rng = np.random.default_rng(0)
    quality = rng.random((200, 3))
    blind = np.zeros((200, 3), dtype=np.float32)
    blind[:, 0] = 0.1
    assert choose_share(blind, quality.astype(np.float32), quality) > 0
    assert choose_share(quality.astype(np.float32), blind, quality) == 0


@pytest.mark.parametrize(("better", "kept"), [(14, False), (15, True)])
def test_a_network_is_kept_from_a_gain_that_chance_seldom_makes(better: int, kept: bool) -> None:
    """It speaks on 20 prompts, and its answers are better on so many: 14 are 1.79 standard errors, 15 are 2.25."""
    base = np.tile(np.array([[0.5, 0.0]], dtype=np.float32), (400, 1))
    network = np.zeros((400, 2), dtype=np.float32)
    network[:20, 1] = 50
    quality = np.full((400, 2), 0.5)
    quality[:better, 1], quality[better:20, 1] = 1.0, 0.0
    assert (choose_share(base, network, quality) > 0) == kept


def test_members_over_one_base_compute_it_once(tmp_path: Path) -> None:
    recipe = attrs.evolve(ALONE, base="stack", epochs=1)
    for seed in (0, 1):
        fit(recipe, tmp_path / str(seed), seed=seed)
    both = TorchRouters(StackBases()).open([str(tmp_path / "0"), str(tmp_path / "1")])
    assert len(both.bases) == 1
    prompts = toy_answers(9, seed=2).prompts
    parts = np.stack([opened(tmp_path / name).score(prompts) for name in ("0", "1")])
    np.testing.assert_allclose(both.score(prompts), parts.mean(0), atol=1e-6)


def test_scores_do_not_depend_on_how_many_prompts_go_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit(attrs.evolve(ALONE, base="stack", epochs=2), tmp_path)
    router, prompts = opened(tmp_path), toy_answers(50, seed=3).prompts
    whole = router.score(prompts)
    monkeypatch.setattr("fusionapp.adapters.routers.stack._AT_ONCE", 7)
    monkeypatch.setattr("fusionapp.adapters.torch_routers.rows._AT_ONCE", 3)
    monkeypatch.setattr("fusionapp.adapters.torch_routers.opened._CELLS_AT_ONCE", 1000)
    np.testing.assert_allclose(router.score(prompts), whole, atol=1e-5)


def test_rare_models_are_left_out_by_their_comparisons(tmp_path: Path) -> None:
    quality = toy_answers().scores.quality.copy()
    quality[5:, 3] = np.nan
    train = answers_of(toy_answers().prompts, quality)
    fit(attrs.evolve(ALONE, epochs=1, min_model_comparisons=100), tmp_path, train)
    assert tuple(opened(tmp_path).models) == MODELS[:3]


def test_a_loss_that_is_not_finite_names_the_learning_rate(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="learning_rate"):
        fit(attrs.evolve(ALONE, loss="bradley_terry", learning_rate=1e20, optimizer="adam"), tmp_path)


def test_a_network_of_numbers_that_do_not_fit_is_corrupt(tmp_path: Path) -> None:
    fit(attrs.evolve(ALONE, epochs=1), tmp_path)
    path = tmp_path / "router.json"
    path.write_text(
        path.read_text(encoding="utf-8").replace('"two_towers"', '"x"').replace("16", "17"), encoding="utf-8"
    )
    with pytest.raises(CorruptArtifactError, match="router"):
        opened(tmp_path)

"""Routers of several seeds, trained at once: what one gives is its own, whoever is trained beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import torch
from fakes.heads import CountingProgress
from fakes.routers import toy_answers
from fakes.tracker import RecordingTracker
from torch import nn

from fusionapp.adapters.routers.bases import StackBases
from fusionapp.adapters.torch_routers.artefact import load_router
from fusionapp.adapters.torch_routers.model_embeddings import MARGIN, Contests, TripletModels
from fusionapp.adapters.torch_routers.network import RouterNetwork, Score
from fusionapp.adapters.torch_routers.saved_models import load_model_embeddings
from fusionapp.adapters.torch_routers.stacked import (
    StackedLinear,
    keep,
    load_state,
    set_dropout,
    stack,
    state_of,
)
from fusionapp.adapters.torch_routers.trainer import TorchRouterTrainer
from fusionapp.adapters.torch_routers.training import make_optimizers
from fusionapp.adapters.torch_shared.streams import seed_streams
from fusionapp.application.ports.router import TrainedRouter
from fusionapp.domain.errors import UsageError
from fusionapp.domain.routing.recipe import RouterRecipe

RECIPE = RouterRecipe(
    hidden_dims=(16, 8),
    embedding_dims=(8,),
    embedding_model_epochs=2,
    epochs=12,
    patience=2,
    learning_rate=0.01,
    dropout=0.25,
    base="none",
    device="cpu",
)
Log = list[tuple[str, int, dict[str, float]]]


def fit(recipe: RouterRecipe, folder: Path, seeds: Sequence[int]) -> tuple[Sequence[TrainedRouter], Log]:
    tracker = RecordingTracker()
    routers = TorchRouterTrainer(StackBases()).train(
        recipe,
        seeds,
        toy_answers(),
        toy_answers(60, seed=1),
        [str(folder / str(seed)) for seed in seeds],
        tracker,
        CountingProgress(),
    )
    return routers, [(name, step, dict(metrics)) for name, step, metrics in tracker.logged]


def network(score: Score = "mlp", dropout: float = 0.0, finetune: bool = False) -> RouterNetwork:
    made = RouterNetwork(score, 5, torch.randn(3, 4), (8, 6), dropout, finetune)
    nn.init.normal_(made.last.weight)
    return made


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"score": "two_towers", "optimizer": "adam"},
        {"optimizer": "muon", "loss": "margin"},
        {"loss": "bradley_terry", "balance_model_samples": False},
        {"loss": "rao_kupper", "score": "two_towers"},
        {"model_embeddings": "attention", "finetune_model_embeddings": True},
        {"model_embeddings": "learned"},
    ],
    ids=lambda changed: ", ".join(f"{name}={value}" for name, value in changed.items()) or "default",
)
def test_a_seed_alone_is_that_seed_among_others(changed: dict[str, Any], tmp_path: Path) -> None:
    recipe = attrs.evolve(RECIPE, **changed)
    among, told_among = fit(recipe, tmp_path / "among", (0, 1, 2))
    (alone,), told_alone = fit(recipe, tmp_path / "alone", (1,))
    assert (among[1].best_epoch, among[1].epochs) == (alone.best_epoch, alone.epochs)
    assert among[1].parameters == alone.parameters
    first, second = (load_router(str(tmp_path / name / "1"))[1] for name in ("among", "alone"))
    assert first.keys() == second.keys()
    # What all models share costs Bradley and Terry nothing: Adam takes steps by the rounding of its gradient.
    unseen = {"network.last.bias", "calibration.scores"} if recipe.loss == "bradley_terry" else set()
    for name in first.keys() - unseen:
        np.testing.assert_allclose(first[name], second[name], rtol=1e-3, atol=1e-5, err_msg=name)
    series = ("seed-1", "seed-1-model-embeddings")
    of_it = [each for each in told_among if each[0] in series]
    assert [each[:2] for each in of_it] == [each[:2] for each in told_alone]
    for (_, _, found), (_, _, expected) in zip(of_it, told_alone, strict=True):
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_each_seed_stops_by_itself_and_those_left_go_on_as_if_alone(tmp_path: Path) -> None:
    recipe = attrs.evolve(RECIPE, learning_rate=0.03, epochs=30)
    seeds = (0, 1, 2)
    routers, told = fit(recipe, tmp_path / "among", seeds)
    epochs = [router.epochs for router in routers]
    assert len(set(epochs)) > 1
    for seed, count in zip(seeds, epochs, strict=True):
        assert [step for name, step, _ in told if name == f"seed-{seed}"] == [*range(1, count + 1)]
    last = seeds[int(np.argmax(epochs))]
    (alone,), _ = fit(recipe, tmp_path / "alone", (last,))
    assert (alone.best_epoch, alone.epochs) == (routers[last].best_epoch, routers[last].epochs)


def test_seeds_differ_in_weights_and_model_embeddings(tmp_path: Path) -> None:
    fit(attrs.evolve(RECIPE, epochs=1), tmp_path, (0, 1))
    first, second = (load_router(str(tmp_path / name))[1]["network.first.weight"] for name in ("0", "1"))
    assert not np.allclose(first, second, atol=1e-2)
    one, other = (load_model_embeddings(str(tmp_path / name), ["algebra", "poetry"]) for name in ("0", "1"))
    assert not np.allclose(one, other, atol=1e-2)


def test_a_diverging_stack_names_a_seed(tmp_path: Path) -> None:
    recipe = attrs.evolve(RECIPE, loss="bradley_terry", learning_rate=1e20, optimizer="adam")
    with pytest.raises(UsageError, match=r"seed 4 .*learning_rate"):
        fit(recipe, tmp_path, (4, 5))


@pytest.mark.parametrize("score", ["mlp", "two_towers"])
def test_a_stack_computes_what_each_network_does(score: Score) -> None:
    torch.manual_seed(0)
    each = [network(score).eval() for _ in range(3)]
    prompts, own = torch.randn(7, 5), torch.randn(3, 7, 5)
    shared = torch.cat([one(prompts) for one in each])
    separate = torch.cat([one(rows[None]) for one, rows in zip(each, own, strict=True)])
    whole = stack(each)
    torch.testing.assert_close(whole(prompts), shared)
    torch.testing.assert_close(whole(own), separate)


def test_a_linear_layer_is_drawn_as_torch_draws_it() -> None:
    torch.manual_seed(0)
    ours = StackedLinear(5, 3)
    torch.manual_seed(0)
    theirs = nn.Linear(5, 3)
    x = torch.randn(7, 5)
    torch.testing.assert_close(ours(x[None])[0], theirs(x))


def test_a_seeds_numbers_come_back_into_a_stack_of_one() -> None:
    torch.manual_seed(0)
    whole = stack([network("two_towers"), network("two_towers")]).eval()
    again = network("two_towers").eval()
    load_state(again, state_of(whole, 1))
    prompts = torch.randn(4, 5)
    torch.testing.assert_close(again(prompts)[0], whole(prompts)[1])


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "muon"])
def test_a_seed_that_is_kept_steps_on_as_before(optimizer: Any) -> None:
    recipe = attrs.evolve(RECIPE, optimizer=optimizer)
    prompts = torch.randn(7, 5)
    states = []
    for dropping in (False, True):
        torch.manual_seed(0)
        whole = stack([network(dropout=0.25, finetune=True) for _ in range(3)])
        set_dropout(whole, seed_streams([0, 1, 2], "dropout"))
        optimizers = make_optimizers(whole, recipe)
        for step in range(4):
            if dropping and step == 2:
                keep(whole, optimizers, [2])
            torch.autograd.backward(whole(prompts).square().sum())
            for each in optimizers:
                each.step()
                each.zero_grad()
        states.append(state_of(whole, -1))
    for name, value in states[0].items():
        torch.testing.assert_close(states[1][name], value, msg=name)


def test_the_triplet_loss_is_that_of_squared_distances() -> None:
    torch.manual_seed(0)
    learner = stack([TripletModels(5, (4,), 3) for _ in range(2)])
    prompts = torch.randn(6, 5)
    contests = Contests(
        torch.tensor([0, 3, 5, 5]), torch.tensor([0, 1, 2, 0]), torch.tensor([2, 0, 1, 1]), torch.ones(4)
    )
    drawn = torch.tensor([[0, 1, 3], [2, 2, 1]])
    found = learner.loss(prompts, contests, drawn)
    models = learner.embeddings()
    for seed in range(2):
        costs = []
        for contest in drawn[seed].tolist():
            t = state_of(learner, seed)["tower.0.weight"] @ prompts[contests.prompts[contest]]
            t = t + state_of(learner, seed)["tower.0.bias"]
            t = t / t.norm()
            near = (t - models[seed, contests.winners[contest]]).square().sum()
            far = (t - models[seed, contests.losers[contest]]).square().sum()
            costs.append(torch.clamp(near - far + MARGIN, min=0))
        torch.testing.assert_close(found[seed], torch.stack(costs).mean())

"""What `[train.sources.NAME]` and `source_dropout` do to a head."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import torch
from fakes.heads import CountingProgress, only, toy_rows
from fakes.tracker import RecordingTracker
from scipy.sparse import csr_array

from fusionapp.adapters.torch_heads.artefact import load_head
from fusionapp.adapters.torch_heads.head import FusionHead
from fusionapp.adapters.torch_heads.layers import SourceDropout, StackedLinear
from fusionapp.adapters.torch_heads.optimization import HeadOptimizer
from fusionapp.adapters.torch_heads.scorer import TorchHeadScorer
from fusionapp.adapters.torch_heads.sources import Source, select
from fusionapp.adapters.torch_heads.trainer import TorchHeadTrainer
from fusionapp.adapters.torch_shared.streams import seed_streams
from fusionapp.application.ports.heads import LabelledEmbeddings
from fusionapp.domain.fusion.spec import FusionSpec
from fusionapp.domain.recipe import SourceRecipe, TrainingRecipe

CPU = torch.device("cpu")
RECIPE = TrainingRecipe(hidden_dims=(16,), epochs=3, batch_size=32, learning_rate=0.01, device="cpu")
SMALL: dict[str, Any] = {"product_dim": 16, "expert_dim": 16, "rank": 16, "bag_width": 8, "experts": 3}


def fit(folder: Path, recipe: TrainingRecipe, train: LabelledEmbeddings | None = None, **fusion: Any) -> str:
    TorchHeadTrainer("float32").train(
        FusionSpec(**(SMALL | fusion)),
        recipe,
        [0],
        3,
        train or toy_rows(),
        only(toy_rows(100, seed=1), *(train or toy_rows()).sources),
        [str(folder)],
        RecordingTracker(),
        CountingProgress(),
    )
    return str(folder)


def with_source(name: str, **changes: Any) -> TrainingRecipe:
    return attrs.evolve(RECIPE, sources={name: SourceRecipe(**changes)})


def state(folder: str) -> dict[str, torch.Tensor]:
    return dict(load_head(folder).state)


EFFECTS: list[tuple[str, dict[str, Any]]] = [
    ("flat", {"normalize": "standard"}),
    ("flat", {"normalize": "none"}),
    ("flat", {"dropout": 0.5}),
    ("words", {"dropout": 0.5}),
    ("flat", {"learning_rate": 0.001}),
    ("words", {"learning_rate": 0.001}),
    ("words", {"bag_width": 5}),
    ("words", {"min_document_frequency": 20}),
    ("words", {"max_columns": 20}),
    ("words", {"sublinear_tf": False}),
    ("words", {"idf": False}),
]


@pytest.mark.parametrize(("name", "change"), EFFECTS)
def test_every_setting_of_a_source_has_an_effect(tmp_path: Path, name: str, change: dict[str, Any]) -> None:
    one, two = fit(tmp_path / "one", RECIPE), fit(tmp_path / "two", with_source(name, **change))
    weights = [Path(folder, "head.safetensors").read_bytes() for folder in (one, two)]
    assert weights[0] != weights[1]


def test_the_settings_tested_for_an_effect_are_all_there_are() -> None:
    of_the_path = {"information"}
    settings = {f.name for f in attrs.fields(SourceRecipe)}
    assert {key for _, change in EFFECTS for key in change} == settings - of_the_path


def test_a_recipe_for_a_source_that_the_head_does_not_see_changes_nothing(tmp_path: Path) -> None:
    train = only(toy_rows(), "deep")
    plain = fit(tmp_path / "plain", RECIPE, train)
    other = fit(tmp_path / "other", with_source("words", bag_width=3), train)
    for name, tensor in state(plain).items():
        torch.testing.assert_close(state(other)[name], tensor, rtol=0, atol=0)


def test_a_standardised_source_is_scored_as_it_was_trained(tmp_path: Path) -> None:
    folder = fit(tmp_path, with_source("flat", normalize="standard"))
    rows = toy_rows(20, seed=2)
    moved = {**rows.sources, "flat": np.asarray(rows.sources["flat"]) + 1}
    scores = [TorchHeadScorer("cpu").score([folder], sources) for sources in (rows.sources, moved)]
    assert not np.allclose(scores[0], scores[1])
    flat = np.asarray(toy_rows().sources["flat"])
    kept = load_head(folder).sources[1].standardization
    assert kept is not None
    np.testing.assert_allclose(kept.mean, flat.mean(0, dtype=np.float64), rtol=1e-5)


def test_raw_counts_are_scored_as_they_were_trained(tmp_path: Path) -> None:
    folder = fit(tmp_path, with_source("words", sublinear_tf=False, idf=False))
    weighting = load_head(folder).sources[2].weighting
    assert weighting is not None
    row = weighting.transform(csr_array(toy_rows().sources["words"])[:1]).toarray()[0]
    raw = csr_array(toy_rows().sources["words"])[:1].toarray()[0][weighting.columns]
    np.testing.assert_allclose(row, raw / np.linalg.norm(raw), rtol=1e-6)


KINDS = ["concat", "sum", "all_features", "moe", "gated", "attention", "cooccurrence", "late", "low_rank"]


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "muon"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_source_that_learns_next_to_nothing_keeps_the_weights_that_read_it_alone(
    kind: Any, optimizer: Any
) -> None:
    rows = toy_rows(64)
    recipe = attrs.evolve(
        RECIPE,
        optimizer=optimizer,
        sources={name: SourceRecipe(learning_rate=1e-30) for name in ("flat", "words")},
    )
    sources = [
        Source.fit(name, x, recipe.sources.get(name, SourceRecipe())) for name, x in rows.sources.items()
    ]
    head = FusionHead(2, FusionSpec(kind=kind, **SMALL), recipe, [source.card for source in sources], 3)
    head.draw([0, 1], CPU, torch.float32)
    before = {name: parameter.detach().clone() for name, parameter in head.named_parameters()}
    optimizer_of_all = HeadOptimizer(head, recipe, 10, torch.float32)
    prepared = [source.prepare(rows.sources[source.card.name], CPU) for source in sources]
    for _ in range(2):
        torch.autograd.backward(head(select(prepared, torch.arange(64).expand(2, -1))).square().sum())
        optimizer_of_all.step()
    read = 0
    for name, layer in head.named_modules():
        if not isinstance(layer, StackedLinear):
            continue
        start = 0
        for span in layer.reads:
            mine = slice(start, start + span.width)
            moved = not torch.equal(layer.weight[:, mine], before[f"{name}.weight"][:, mine])
            assert moved == (span.source in (None, 0)), (name, span)
            start, read = start + span.width, read + (span.source is not None)
        assert not layer.reads or start == layer.weight.shape[1]
    assert read >= 2
    torch.testing.assert_close(head.bags[2].table, before["bags.2.table"], rtol=0, atol=1e-12)


def test_a_source_that_learns_at_the_recipes_rate_learns_as_without_a_rate(tmp_path: Path) -> None:
    plain = fit(tmp_path / "plain", RECIPE)
    same = fit(tmp_path / "same", with_source("flat", learning_rate=RECIPE.learning_rate))
    for name, tensor in state(plain).items():
        torch.testing.assert_close(state(same)[name], tensor, rtol=0, atol=0)


def left_out(seeds: list[int], rate: float, rows: int = 2000, sources: int = 3) -> torch.Tensor:
    """(seeds, rows, sources) of which source stayed."""
    layer = SourceDropout(rate)
    layer.streams = seed_streams(seeds, "dropout")
    out = layer([torch.ones(len(seeds), rows, 2, 4) for _ in range(sources)])
    assert all(((x == 0) | (x == 1)).all() for x in out)  # what stays is not scaled
    return torch.stack([x[..., 0, 0] for x in out], dim=-1)


def test_sources_are_left_out_at_the_rate_and_one_always_stays() -> None:
    kept = left_out([0], 0.5)
    assert kept.sum(-1).min() == 1
    # Of three coins all fall against a row in 1/8 of cases, where one source stays none the less.
    assert kept.mean().item() == pytest.approx(0.5 + 0.125 / 3, abs=0.02)
    assert left_out([0], 0.99).sum(-1).max() <= 2


def test_a_seed_leaves_out_the_same_alone_as_in_a_stack() -> None:
    torch.testing.assert_close(left_out([4, 9, 2], 0.3)[1], left_out([9], 0.3)[0])
    assert not torch.equal(left_out([4], 0.3), left_out([9], 0.3))


def test_no_source_is_left_out_in_evaluation_or_of_a_single_one() -> None:
    x = [torch.randn(1, 3, 1, 2), torch.randn(1, 3, 1, 2)]
    assert SourceDropout(0.9).eval()(x) == x
    assert left_out([0], 0.9, sources=1).min() == 1


def test_source_dropout_makes_a_head_stand_the_loss_of_a_source(tmp_path: Path) -> None:
    rows = toy_rows(200, seed=2)
    blank = {**rows.sources, "deep": np.zeros_like(rows.sources["deep"]), "words": csr_array((200, 50))}
    losses = []
    for rate in (0.0, 0.5):
        recipe = attrs.evolve(RECIPE, epochs=12, source_dropout=rate, calibrate=False)
        folder = fit(tmp_path / str(rate), recipe)
        right = TorchHeadScorer("cpu").score([folder], blank)[0, np.arange(200), rows.labels]
        losses.append(-np.log(right).mean())
    assert losses[1] < losses[0]

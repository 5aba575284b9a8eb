"""Every fusion kind as a trainable head."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from fakes.heads import CountingProgress, only, toy_rows
from fakes.tracker import RecordingTracker

from fusionapp.adapters.torch_heads.fusions import View, build_fusion, common_dim
from fusionapp.adapters.torch_heads.head import FusionHead
from fusionapp.adapters.torch_heads.sources import Source, select
from fusionapp.adapters.torch_heads.trainer import TorchHeadTrainer
from fusionapp.application.ports.heads import LabelledEmbeddings, TrainedHead
from fusionapp.domain.errors import UsageError
from fusionapp.domain.fusion.spec import FusionKind, FusionSpec
from fusionapp.domain.recipe import SourceRecipe, TrainingRecipe

KINDS: tuple[FusionKind, ...] = get_args(FusionKind)
RESIDUAL = [(kind, False) for kind in KINDS] + [
    (kind, True) for kind in KINDS if kind not in ("concat", "all_features", "late")
]
SMALL: dict[str, Any] = {"product_dim": 16, "expert_dim": 16, "rank": 16, "bag_width": 8, "experts": 3}
CPU = torch.device("cpu")


def spec(kind: FusionKind, **changes: Any) -> FusionSpec:
    return FusionSpec(kind=kind, **(SMALL | changes))


def fit(fusion: FusionSpec, folder: Path, train: LabelledEmbeddings, epochs: int = 25) -> TrainedHead:
    recipe = TrainingRecipe(
        hidden_dims=(16,), epochs=epochs, batch_size=32, learning_rate=0.01, dropout=0.1, input_dropout=0.1
    )
    validation = only(toy_rows(120, seed=1), *train.sources)
    trainer = TorchHeadTrainer("float32")
    (head,) = trainer.train(
        fusion, recipe, [0], 3, train, validation, [str(folder)], RecordingTracker(), CountingProgress()
    )
    return head


@pytest.mark.parametrize(("kind", "residual"), RESIDUAL)
def test_every_kind_learns_a_toy(kind: FusionKind, residual: bool, tmp_path: Path) -> None:
    head = fit(spec(kind, residual=residual), tmp_path, toy_rows())
    assert head.validation["accuracy"] > 0.6  # chance is a third


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("source", ["deep", "words"])
def test_every_kind_takes_a_single_source(kind: FusionKind, source: str, tmp_path: Path) -> None:
    head = fit(spec(kind), tmp_path, only(toy_rows(), source), epochs=2)
    assert 0 <= head.validation["accuracy"] <= 1


@pytest.mark.parametrize(("kind", "residual"), RESIDUAL)
def test_gradients_stay_finite_where_an_embedding_is_zero(kind: FusionKind, residual: bool) -> None:
    rows = toy_rows(8)
    for name in ("deep", "flat"):
        rows.sources[name][:4] = 0
    sources = [Source.fit(name, values, SourceRecipe()) for name, values in rows.sources.items()]
    recipe = TrainingRecipe(hidden_dims=(8,))
    head = FusionHead(2, spec(kind, residual=residual), recipe, [source.card for source in sources], 3)
    head.draw([0, 1], CPU, torch.float32)
    prepared = [source.prepare(rows.sources[source.card.name], CPU) for source in sources]
    head(select(prepared, torch.arange(8).expand(2, -1))).square().sum().backward()
    trained = {name: p.grad for name, p in head.named_parameters() if p.requires_grad}
    assert all(grad is not None and grad.isfinite().all() for grad in trained.values()), trained.keys()
    (bag,) = head.stacked_bags()
    assert bag.rows is not None
    assert bag.rows.grad is not None
    assert bag.rows.grad.isfinite().all()


EFFECTS: list[tuple[FusionKind, dict[str, Any]]] = [
    ("concat", {"bag_width": 9}),
    ("sum", {"dim": 5}),
    ("sum", {"residual": True}),
    ("matmul", {"product_dim": 25}),
    ("quaternion", {"product_dim": 8}),
    ("moe", {"experts": 2}),
    ("moe", {"expert_dim": 7}),
    ("low_rank", {"rank": 7}),
    ("attention", {"heads": 2}),
    ("cooccurrence", {"normalize": False}),
    ("cooccurrence", {"triangle": "upper"}),
    ("cooccurrence", {"power": "paper"}),
    ("cooccurrence", {"power": "none"}),
    ("cooccurrence", {"sigma": 3.0}),
]


@pytest.mark.parametrize(("kind", "change"), EFFECTS)
def test_every_setting_of_a_fusion_has_an_effect(
    kind: FusionKind, change: dict[str, Any], tmp_path: Path
) -> None:
    heads = [
        fit(spec(kind, **settings), tmp_path / str(index), toy_rows(), epochs=1)
        for index, settings in enumerate(({}, change))
    ]
    one, two = (Path(head.directory, "head.safetensors").read_bytes() for head in heads)
    assert one != two


def test_the_settings_tested_for_an_effect_are_all_there_are() -> None:
    from attrs import fields

    assert {key for _, change in EFFECTS for key in change} | {"kind"} == {f.name for f in fields(FusionSpec)}


def test_cooccurrence_is_llmembeds_whole_head_input() -> None:
    views = [View(5, 4096, dense=True), View(1, 1024, dense=True), View(1, 1024, dense=True)]
    with torch.device("meta"):
        fusion = build_fusion(1, FusionSpec(kind="cooccurrence"), views, dropout=0.5)
    assert fusion.out_dim == 7 * 7 + 4096 == 4145


def test_cooccurrence_averages_every_source_where_none_has_layers() -> None:
    fusion = build_fusion(1, FusionSpec(kind="cooccurrence"), [View(1, 6, True), View(1, 4, True)], 0.0)
    assert fusion.out_dim == 2 * 2 + 6 + 4


def test_the_common_dim_is_as_asked_else_the_smallest_dense_else_256() -> None:
    views = [View(6, 384, True), View(1, 768, True), View(1, 64, False)]
    assert common_dim(FusionSpec(), views) == 384
    assert common_dim(FusionSpec(dim=100), views) == 100
    assert common_dim(FusionSpec(), views[2:]) == 256


def test_attention_heads_that_do_not_divide_the_dim_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"fusion\.heads: 5"):
        fit(spec("attention", heads=5), tmp_path, toy_rows())


def test_dense_views_enter_with_length_root_dim_and_raw_ones_as_they_are() -> None:
    rows = toy_rows(20)
    deep = rows.sources["deep"]
    prepared, raw = (
        Source.fit("deep", deep, SourceRecipe(normalize=normalize)).prepare(deep, CPU)
        for normalize in ("l2", "none")
    )
    norms = select([prepared], torch.arange(1, 10)[None])[0].norm(dim=-1)  # type: ignore[union-attr]  # dense
    torch.testing.assert_close(norms, torch.full_like(norms, 12**0.5))
    torch.testing.assert_close(select([raw], torch.arange(20)[None])[0][0], torch.from_numpy(deep))  # type: ignore[index]  # dense

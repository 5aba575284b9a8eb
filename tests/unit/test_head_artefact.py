"""A head on disk is read back whole or refused, whatever was done to it."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fakes.heads import CountingProgress, only, toy_rows
from fakes.tracker import RecordingTracker
from safetensors.torch import load_file, save

from fusionapp.adapters.torch_heads.scorer import TorchHeadScorer
from fusionapp.adapters.torch_heads.trainer import TorchHeadTrainer
from fusionapp.domain.errors import CorruptArtifactError, ResourceError, UsageError
from fusionapp.domain.fusion.spec import FusionSpec
from fusionapp.domain.recipe import SourceRecipe, TrainingRecipe

SCORER = TorchHeadScorer(device="cpu")
RECIPE = TrainingRecipe(
    hidden_dims=(8,),
    epochs=1,
    batch_size=32,
    device="cpu",
    sources={"flat": SourceRecipe(normalize="standard")},
)


def fit(folder: Path, seed: int = 0, rows: int = 100, classes: int = 3, **fusion: Any) -> str:
    TorchHeadTrainer("float32").train(
        FusionSpec(**({"bag_width": 4} | fusion)),
        RECIPE,
        [seed],
        classes,
        toy_rows(rows, classes=classes),
        toy_rows(50, seed=1, classes=classes),
        [str(folder)],
        RecordingTracker(),
        CountingProgress(),
    )
    return str(folder)


@pytest.fixture(name="head", scope="module")
def _head(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(fit(tmp_path_factory.mktemp("head")))


def copy(head: Path, folder: Path) -> Path:
    for path in head.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def edit_card(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads((folder / "head.json").read_text(encoding="utf-8"))
    change(document)
    (folder / "head.json").write_text(json.dumps(document), encoding="utf-8")


def rewrite_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """Change tensors and make the recorded hash fit, as a careless tool might."""
    tensors = load_file(folder / "head.safetensors")
    change(tensors)
    weights = save(tensors)
    (folder / "head.safetensors").write_bytes(weights)
    edit_card(folder, lambda card: card.update(weights_sha256=sha256(weights).hexdigest()))


def score(folder: Path) -> None:
    SCORER.score([str(folder)], toy_rows(10).sources)


def test_the_card_tells_everything_that_scoring_needs(head: Path) -> None:
    card = json.loads((head / "head.json").read_text(encoding="utf-8"))
    assert card["format"] == 2
    assert (card["classes"], card["seed"], card["best_epoch"]) == (3, 0, 1)
    assert card["fusion"]["kind"] == "concat"
    assert card["recipe"]["hidden_dims"] == [8]
    assert [(s["name"], s["sparse"], s["layers"], s["dim"]) for s in card["sources"]] == [
        ("deep", False, 3, 12),
        ("flat", False, 1, 8),
        ("words", True, 1, 50),
    ]
    assert card["sources"][1]["recipe"]["normalize"] == "standard"
    assert card["linear"] is False
    assert 0.04 < card["temperature"] < 21
    assert set(card["validation"]) == {"accuracy", "macro_f1", "weighted_f1", "loss"}


def test_nothing_temporary_is_left_behind(head: Path) -> None:
    assert sorted(path.name for path in head.iterdir()) == ["head.json", "head.safetensors"]


def test_training_again_replaces_the_artefact(tmp_path: Path) -> None:
    fit(tmp_path, seed=0)
    before = (tmp_path / "head.safetensors").read_bytes()
    fit(tmp_path, seed=1)
    assert (tmp_path / "head.safetensors").read_bytes() != before
    score(tmp_path)


def test_a_flipped_bit_in_the_weights_is_found(head: Path, tmp_path: Path) -> None:
    path = copy(head, tmp_path) / "head.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptArtifactError, match=r"head\.safetensors.*SHA-256"):
        score(tmp_path)


def drop(name: str) -> Callable[[dict[str, torch.Tensor]], object]:
    return lambda tensors: tensors.pop(name)


def put(name: str, tensor: torch.Tensor) -> Callable[[dict[str, torch.Tensor]], object]:
    return lambda tensors: tensors.update({name: tensor})


@pytest.mark.parametrize(
    "change",
    [
        drop("network.classifier.final.weight"),
        drop("weighting.2.idf"),
        drop("standardization.1.mean"),
        put("standardization.1.mean", torch.full((1, 8), torch.nan)),
        put("standardization.1.mean", torch.zeros(8)),
        put("standardization.1.deviation", torch.zeros(1, 8)),
        put("network.scale", torch.ones(1, 1)),
        put("network.classifier.final.bias", torch.zeros(1, 4)),
        put("network.classifier.final.bias", torch.zeros(1, 3, dtype=torch.float64)),
        put("network.surplus", torch.zeros(1)),
        put("weighting.2.columns", torch.arange(3)),
        put("weighting.2.columns", torch.arange(50).flip(0)),
        put("weighting.2.columns", torch.arange(50) * 1_000_000),
    ],
)
def test_tensors_that_do_not_fit_the_card_are_refused(
    head: Path, tmp_path: Path, change: Callable[[dict[str, torch.Tensor]], object]
) -> None:
    rewrite_weights(copy(head, tmp_path), change)
    with pytest.raises(CorruptArtifactError, match=r"head\.safetensors"):
        score(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda card: card.update(classes=0),
        lambda card: card.update(classes=2**62),
        lambda card: card.update(classes="many"),
        lambda card: card.update(surplus=1),
        lambda card: card.pop("fusion"),
        lambda card: card.update(sources=[]),
        lambda card: card["fusion"].update(kind="telepathy"),
        lambda card: card["fusion"].update(kind="matmul", product_dim=15),
        lambda card: card["fusion"].update(kind="moe", experts=2**62),
        lambda card: card["fusion"].update(kind="attention", heads=7),
        lambda card: card["sources"][0].update(layers=10**12),
        lambda card: card["sources"][0].update(dim=-1),
        lambda card: card["sources"][2].update(kept=-1),
        lambda card: card["recipe"].update(hidden_dims=[0]),
        lambda card: card["recipe"].update(learning_rate=float("nan")),
        lambda card: card["recipe"].update(batch_size=float("inf")),
        lambda card: card.update(weights_sha256=None),
        lambda card: card.update(linear=True),
        lambda card: card.update(temperature=0.0),
        lambda card: card.update(temperature=-1.0),
        lambda card: card.update(temperature=float("nan")),
        lambda card: card.update(temperature=float("inf")),
        lambda card: card["sources"][0]["recipe"].update(normalize="standard"),
        lambda card: card["sources"][0]["recipe"].update(normalize="loud"),
        lambda card: card["sources"][2]["recipe"].update(bag_width=5),
        lambda card: card["sources"][2]["recipe"].update(bag_width=2**62),
        lambda card: card["sources"][2]["recipe"].update(dropout=1.5),
        lambda card: card["recipe"]["sources"].update(flat=None),
        lambda card: card["fusion"].update(kind="late"),
        lambda card: card["fusion"].update(kind="late", residual=True),
    ],
)
def test_a_card_that_describes_no_head_is_refused(
    head: Path, tmp_path: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    edit_card(copy(head, tmp_path), change)
    with pytest.raises(CorruptArtifactError, match=r"head\."):
        score(tmp_path)


def test_heads_of_an_older_format_ask_for_training_again(head: Path, tmp_path: Path) -> None:
    edit_card(copy(head, tmp_path), lambda card: card.update(format=1))
    with pytest.raises(CorruptArtifactError, match=r"format 2; train again"):
        score(tmp_path)


def test_heads_of_different_runs_are_scored_side_by_side(tmp_path: Path) -> None:
    one, two = fit(tmp_path / "one"), fit(tmp_path / "two", kind="gated")
    three = fit(tmp_path / "three", rows=60)  # other columns kept, other means
    four = fit(tmp_path / "four", seed=1)
    sources = toy_rows(20, seed=2).sources
    together = SCORER.score([one, two, three, four], sources)
    alone = [SCORER.score([directory], sources)[0] for directory in (one, two, three, four)]
    np.testing.assert_allclose(together, np.stack(alone), atol=1e-6)


def test_heads_over_different_classes_are_not_scored_together(tmp_path: Path) -> None:
    directories = [fit(tmp_path / "three"), fit(tmp_path / "four", classes=4)]
    with pytest.raises(UsageError, match=r"\[3, 4\] classes"):
        SCORER.score(directories, toy_rows(10).sources)


def test_embeddings_of_another_shape_name_the_source_and_what_it_wants(head: Path) -> None:
    sources = dict(toy_rows(10).sources)
    sources["deep"] = np.zeros((10, 3, 13), dtype=np.float32)
    with pytest.raises(UsageError, match=r"'deep': the head wants \(rows, 3, 12\), got \(rows, 3, 13\)"):
        SCORER.score([str(head)], sources)


def test_no_rows_give_no_scores(head: Path) -> None:
    empty = {name: x[:0] for name, x in toy_rows(10).sources.items()}
    assert SCORER.score([str(head)], empty).shape == (1, 0, 3)


def test_no_head_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="0 heads"):
        SCORER.score([], only(toy_rows(10), "flat").sources)


def test_a_directory_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(ResourceError, match="cannot be written"):
        fit(tmp_path / "file" / "head")

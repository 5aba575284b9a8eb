"""Encoders and heads that are tuned together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import torch
from fakes.tracker import RecordingTracker
from joint_tuning import LAYERS, frozen_heads, open_tiny, recipe, splits, torch_tuner, tune
from numpy.typing import NDArray
from tiny_models import TEXTS, tiny_model
from torch import Tensor

from fusionapp.adapters.huggingface.encoder import HuggingFaceEncoder
from fusionapp.adapters.huggingface.tuning.joint import open_joint
from fusionapp.adapters.huggingface.tuning.settings import EncoderSettings
from fusionapp.adapters.torch_heads.artefact import load_head
from fusionapp.adapters.torch_heads.scorer import TorchHeadScorer
from fusionapp.domain.errors import UsageError
from fusionapp.domain.finetuning import FineTuning

pytest.importorskip("peft", reason="the extra `tune` is not installed")

LEARNING = {"epochs": 10, "learning_rate": 6e-3, "head_rate": 1.0, "batch_size": 8, "patience": 20}


@pytest.fixture(autouse=True)
def _float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounding to bfloat16 would hide whether two ways agree."""
    monkeypatch.setattr(
        "fusionapp.adapters.huggingface.tuning.joint.automatic_dtype", lambda device: torch.float32
    )


def read(model: Path, texts: tuple[str, ...], **settings: Any) -> NDArray[np.float32]:
    encoder = HuggingFaceEncoder(
        str(model), layers=LAYERS, dtype="float32", device="cpu", **{"pooling": "mean", **settings}
    )
    return np.asarray(encoder.encode(texts, encoder.plan(len(texts))).embeddings)


def mean_loss(tracker: RecordingTracker, step: int) -> float:
    losses = [metrics["validation_loss"] for _, at, metrics in tracker.logged if at == step]
    return float(np.mean(losses))


@pytest.mark.parametrize("kind", ["bert", "qwen2"])
def test_tuning_together_lowers_the_validation_loss(kind: str, tmp_path: Path) -> None:
    tracker = RecordingTracker()
    how = recipe(
        {"epochs": 10, "learning_rate": 6e-3, "head_rate": 1.0, "batch_size": 8, "patience": 20},
        metric="loss",
    )
    tuned = tune(torch_tuner(kind), frozen_heads(kind), tmp_path, how, kind=kind, tracker=tracker)
    assert tuned.best_step > 0
    assert mean_loss(tracker, tuned.best_step) < 0.9 * mean_loss(tracker, 0)
    assert [head.validation["loss"] for head in tuned.heads] == pytest.approx(
        [metrics["validation_loss"] for _, at, metrics in tracker.logged if at == tuned.best_step]
    )


@pytest.mark.parametrize("kind", ["bert", "qwen2", "modernbert"])
@pytest.mark.parametrize("normalize", [True, False])
def test_it_reads_the_views_that_extraction_reads(kind: str, normalize: bool) -> None:
    settings = EncoderSettings(str(tiny_model(kind)), layers=LAYERS, pooling="mean", normalize=normalize)
    encoder = open_joint("model", settings, recipe(), 0)
    encoder.read("texts", TEXTS)
    expected = read(tiny_model(kind), TEXTS, normalize=normalize)
    np.testing.assert_allclose(encoder.embed("texts").numpy(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", ["full", "lora", "bitfit", "last_layers"])
def test_the_saved_encoder_and_head_score_as_the_tuned_ones_did(method: Any, tmp_path: Path) -> None:
    how = recipe(
        {**LEARNING, "epochs": 4}, metric="loss", finetuning=FineTuning(method=method, rank=4, num_layers=1)
    )
    tuned = tune(torch_tuner(), frozen_heads("bert"), tmp_path, how)
    assert tuned.best_step > 0
    _, validation = splits("bert")
    table = {key: value for key, value in tuned.encoders["model"].items() if key != "revision"}
    views = read(tmp_path / "model" / "model", tuple(validation.texts), **table)
    words = validation.embeddings.sources["words"]
    found = TorchHeadScorer("cpu").score(
        [head.directory for head in tuned.heads], {"model": views, "words": words}
    )
    reached = (found.argmax(-1) == validation.embeddings.labels).mean(-1)
    assert reached == pytest.approx([head.validation["accuracy"] for head in tuned.heads], abs=1 / 48)
    right = found[:, np.arange(48), validation.embeddings.labels]
    assert -np.log(right).mean(-1) == pytest.approx(
        [head.validation["loss"] for head in tuned.heads], rel=1e-3
    )


def test_tuning_starts_from_the_frozen_heads(tmp_path: Path) -> None:
    tracker = RecordingTracker()
    tune(torch_tuner(), frozen_heads("bert"), tmp_path, recipe({"epochs": 1}), tracker=tracker)
    start = [metrics["validation_loss"] for _, step, metrics in tracker.logged if step == 0]
    frozen = [load_head(directory).card.validation["loss"] for directory in frozen_heads("bert")]
    assert start == pytest.approx(frozen, rel=1e-4)


def test_where_every_step_hurts_the_start_is_kept(tmp_path: Path) -> None:
    how = recipe({"epochs": 1, "learning_rate": 0.5, "head_rate": 1000.0, "warmup": 0.0}, metric="loss")
    tuned = tune(torch_tuner(), frozen_heads("bert"), tmp_path, how)
    assert tuned.best_step == 0
    assert [head.best_epoch for head in tuned.heads] == [0, 0]
    np.testing.assert_allclose(
        read(tmp_path / "model/model", TEXTS), read(tiny_model("bert"), TEXTS), atol=1e-5
    )
    for head, start in zip(tuned.heads, frozen_heads("bert"), strict=True):
        for name, tensor in load_head(start).state.items():
            torch.testing.assert_close(load_head(head.directory).state[name], tensor)


def gradients(batch_tokens: int) -> dict[str, Tensor]:
    how = recipe({"batch_tokens": batch_tokens})
    encoder = open_tiny("bert")("model", how, 0)
    encoder.read("train", splits("bert")[0].texts)
    torch.manual_seed(0)

    def loss(views: Tensor) -> tuple[Tensor, Tensor]:
        leaf = views.detach().requires_grad_()
        value = torch.tanh(leaf * torch.arange(1.0, 1 + len(leaf))[:, None, None]).square().sum()
        return value.detach(), torch.autograd.grad(value, leaf)[0]

    encoder.backward("train", np.array([5, 3, 40, 11, 90, 7]), loss)
    return {
        name: each.grad.clone() for name, each in encoder._encoder.named_parameters() if each.grad is not None
    }


def test_a_small_budget_of_tokens_changes_no_gradient() -> None:
    whole, cut = gradients(8192), gradients(1)
    assert whole.keys() == cut.keys()
    assert len(whole) > 10
    for name, gradient in whole.items():
        assert (cut[name] - gradient).norm() <= 1e-4 * gradient.norm() + 1e-5, name


def test_two_encoders_can_be_tuned_at_once(tmp_path: Path) -> None:
    train, validation = splits("bert")
    both = [
        attrs.evolve(
            rows,
            embeddings=attrs.evolve(
                rows.embeddings,
                sources={
                    "model": rows.embeddings.sources["model"],
                    "other": rows.embeddings.sources["model"],
                },
            ),
        )
        for rows in (train, validation)
    ]
    start = _heads_over(both, tmp_path)
    tuned = tune(
        torch_tuner(),
        start,
        tmp_path,
        recipe({**LEARNING, "epochs": 5}, metric="loss"),
        encoders=["model", "other"],
        train=both[0],
        validation=both[1],
        directories={name: str(tmp_path / name) for name in ("model", "other")},
    )
    assert tuned.best_step > 0
    before = read(tiny_model("bert"), TEXTS)
    moved = [np.abs(read(tmp_path / name / "model", TEXTS) - before).max() for name in ("model", "other")]
    assert min(moved) > 1e-3


def _heads_over(rows: list[Any], folder: Path) -> tuple[str, ...]:
    from fakes.heads import CountingProgress

    from fusionapp.adapters.torch_heads.trainer import TorchHeadTrainer
    from fusionapp.domain.fusion.spec import FusionSpec

    places = [str(folder / f"frozen-{seed}") for seed in (0, 1)]
    train, validation = (one.embeddings for one in rows)
    TorchHeadTrainer(dtype="float32").train(
        FusionSpec(), recipe(), (0, 1), 3, train, validation, places, RecordingTracker(), CountingProgress()
    )
    return tuple(places)


def test_layers_without_the_last_one_are_refused() -> None:
    settings = EncoderSettings(str(tiny_model("bert")), layers=(1,))
    with pytest.raises(UsageError, match=r"encoders.model.layers: \[1\] leave the last layer out"):
        open_joint("model", settings, recipe(), 0)


def test_a_loss_that_is_not_finite_is_an_error(tmp_path: Path) -> None:
    how = recipe({"epochs": 1, "learning_rate": 1e30, "clip": None, "warmup": 0.0})
    with pytest.raises(UsageError, match="the loss became nan at step"):
        tune(torch_tuner(), frozen_heads("bert"), tmp_path, how)

"""Encoders tuned end to end for routing: every method, every loss, on tiny models."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import attrs
import numpy as np
import pytest
from fakes.tracker import RecordingTracker
from router_tuning import RECIPE, answered, torch_tuner, tune, tuned_by

from fusionapp.adapters.huggingface.encoder import HuggingFaceEncoder
from fusionapp.application.services.encode_texts import encode_texts
from fusionapp.domain.finetuning import Method

pytest.importorskip("peft", reason="the extra `tune` is not installed")

METHODS: tuple[Method, ...] = ("full", "last_layers", "bitfit", "lora", "qlora")
Loss = Literal["regression", "margin", "bradley_terry", "rao_kupper"]


def losses(tracker: RecordingTracker) -> list[float]:
    """Mean loss on train between two scorings."""
    return [metrics["train_loss"] for run, step, metrics in tracker.logged if run == "encoder" and step]


@pytest.mark.parametrize("kind", ["bert", "qwen2"])
@pytest.mark.parametrize("method", METHODS)
def test_the_loss_falls_by_every_method(method: Method, kind: str, tmp_path: Path) -> None:
    if method == "qlora":
        pytest.importorskip("bitsandbytes", reason="the extra `tune` is not installed")
    tracker = RecordingTracker()
    # The network stands still, so that it is the encoder that learns.
    recipe = tuned_by({"method": method}, {"head_rate": 1e-9, "schedule": "constant"})
    tuned = tune(torch_tuner(kind), tmp_path, kind, recipe, tracker)
    fallen = losses(tracker)
    assert len(fallen) == 4
    assert fallen[-1] < fallen[0] * 0.98
    assert tuned.preflight.method == method


@pytest.mark.parametrize("loss", ["regression", "margin", "bradley_terry", "rao_kupper"])
@pytest.mark.parametrize("score", ["mlp", "two_towers"])
def test_every_loss_teaches_the_encoder(
    loss: Loss, score: Literal["mlp", "two_towers"], tmp_path: Path
) -> None:
    tracker = RecordingTracker()
    tune(torch_tuner("bert"), tmp_path, "bert", attrs.evolve(RECIPE, loss=loss, score=score), tracker)
    fallen = losses(tracker)
    assert fallen[-1] < fallen[0]


def test_the_saved_encoder_gives_the_embeddings_that_its_validation_was_scored_by(tmp_path: Path) -> None:
    tuned = tune(torch_tuner("bert"), tmp_path, recipe=tuned_by({"method": "lora"}))
    assert tuned.best_step > 0
    assert tuned.table is not None
    keys = {key: tuned.table[key] for key in ("pooling", "prefix", "max_length", "normalize")}
    saved = HuggingFaceEncoder(str(tmp_path / "model"), device="cpu", dtype="float32", **keys)
    before = answered("bert", 24, 1).prompts
    after = encode_texts(before.texts, 0, {"tiny": saved})["tiny"]
    assert after.shape == before.embeddings["tiny"].shape
    topics = np.arange(24) % 2

    def apart(found: object) -> float:
        rows = np.asarray(found)[:, 0]
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return float(np.linalg.norm(rows[topics == 0].mean(0) - rows[topics == 1].mean(0)))

    assert apart(after) > 2 * apart(before.embeddings["tiny"])


def test_an_encoder_that_no_step_improves_is_not_saved(tmp_path: Path) -> None:
    # Quality that depends on nothing: a network that ranks by means is as good as any, and noise is not learnt.
    tuned = tune(torch_tuner("bert"), tmp_path, recipe=tuned_by(tuning={"learning_rate": 1e-30}))
    assert tuned.best_step == 0
    assert tuned.table is None
    assert tuned.validation == tuned.untuned
    assert not (tmp_path / "model").exists()


def test_tuning_stops_when_nothing_improves(tmp_path: Path) -> None:
    recipe = tuned_by(tuning={"learning_rate": 1e-30, "head_rate": 1e-30, "patience": 2, "epochs": 9})
    assert tune(torch_tuner("bert"), tmp_path, recipe=recipe).steps == 6


def test_the_same_seed_tunes_the_same_encoder(tmp_path: Path) -> None:
    one, two = (tune(torch_tuner("bert"), tmp_path / name) for name in "ab")
    assert one.validation == two.validation
    assert (tmp_path / "a/model/model.safetensors").read_bytes() == (
        tmp_path / "b/model/model.safetensors"
    ).read_bytes()

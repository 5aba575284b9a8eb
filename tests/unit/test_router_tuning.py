"""Encoders tuned end to end for routing: every method, every loss, on tiny models."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import attrs
import numpy as np
import pytest
from fakes.heads import CountingProgress
from fakes.tracker import RecordingTracker
from router_tuning import RECIPE, answered, torch_tuner, tune, tuned_by

from fusionapp.adapters.huggingface.encoder import HuggingFaceEncoder
from fusionapp.application.services.encode_texts import encode_texts
from fusionapp.domain.errors import UsageError
from fusionapp.domain.finetuning import Method
from fusionapp.domain.routing.recipe import RouterRecipe

pytest.importorskip("peft", reason="the extra `tune` is not installed")

RATES: dict[Method, float] = {"full": 1e-3, "last_layers": 1e-3, "bitfit": 1e-2, "lora": 2e-3, "qlora": 2e-3}
Loss = Literal["regression", "margin", "bradley_terry", "rao_kupper"]


def losses(tracker: RecordingTracker) -> list[float]:
    """Mean loss on train between two scorings."""
    return [metrics["train_loss"] for run, step, metrics in tracker.logged if run == "encoder" and step]


@pytest.mark.parametrize("kind", ["bert", "qwen2"])
@pytest.mark.parametrize("method", RATES)
def test_the_loss_falls_by_every_method(method: Method, kind: str, tmp_path: Path) -> None:
    if method == "qlora":
        pytest.importorskip("bitsandbytes", reason="the extra `tune` is not installed")
    tracker = RecordingTracker()
    # The network stands still, so that it is the encoder that learns.
    recipe = tuned_by({"method": method}, {"head_rate": 1e-9, "learning_rate": RATES[method]})
    tuned = tune(torch_tuner(kind), tmp_path, kind, recipe, tracker)
    fallen = losses(tracker)
    assert len(fallen) == 10
    assert fallen[-1] < fallen[0]
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


def unlearned(finetuning: dict[str, Any]) -> RouterRecipe:
    """A recipe whose network knows next to nothing before the encoder is tuned, so that tuning gains."""
    return attrs.evolve(tuned_by(finetuning), epochs=1, learning_rate=1e-6)


def test_the_saved_encoder_is_another_than_before(tmp_path: Path) -> None:
    tuned = tune(torch_tuner("bert"), tmp_path, recipe=unlearned({"method": "lora"}))
    assert tuned.best_step > 0
    assert tuned.table is not None
    keys = {key: tuned.table[key] for key in ("pooling", "prefix", "max_length", "normalize")}
    saved = HuggingFaceEncoder(str(tmp_path / "model"), device="cpu", dtype="float32", **keys)
    before = answered("bert", 24, 1).prompts
    after = encode_texts(before.texts, 0, {"tiny": saved})["tiny"]
    assert after.shape == before.embeddings["tiny"].shape
    assert not np.allclose(np.asarray(after), np.asarray(before.embeddings["tiny"]), atol=1e-4)


def test_the_saved_encoder_opens_in_sentence_transformers(tmp_path: Path) -> None:
    library = pytest.importorskip("sentence_transformers")
    tune(torch_tuner("bert"), tmp_path, recipe=unlearned({"method": "lora"}))
    texts = answered("bert", 24, 1).prompts.texts
    saved = HuggingFaceEncoder(str(tmp_path / "model"), device="cpu", dtype="float32")
    ours = encode_texts(texts, 0, {"tiny": saved})
    theirs = library.SentenceTransformer(str(tmp_path / "model"), device="cpu").encode(list(texts))
    np.testing.assert_allclose(np.asarray(ours["tiny"])[:, 0], theirs, rtol=0, atol=1e-5)


def test_how_many_tokens_are_held_at_once_changes_no_gradient(tmp_path: Path) -> None:
    one_step = {"epochs": 1, "batch_size": 48}
    whole, cut = (
        tune(
            torch_tuner("bert"),
            tmp_path / str(most),
            recipe=tuned_by(tuning={**one_step, "batch_tokens": most}),
        )
        for most in (8192, 24)
    )
    assert whole.steps == cut.steps == 1
    assert cut.validation == pytest.approx(whole.validation, rel=1e-4)


def test_a_prompt_without_battles_teaches_nothing_and_breaks_nothing(tmp_path: Path) -> None:
    recipe = attrs.evolve(tuned_by(tuning={"batch_size": 1, "epochs": 1}), loss="margin")
    train, validation = answered("bert", 12, 0), answered("bert", 24, 1)
    battles = train.battles
    kept = battles.prompts > 5
    fewer = attrs.evolve(
        battles,
        **{name: getattr(battles, name)[kept] for name in ("prompts", "first", "second", "outcome")},
    )
    tuned = torch_tuner("bert").tune(
        recipe,
        "tiny",
        0,
        attrs.evolve(train, battles=fewer),
        validation,
        str(tmp_path),
        RecordingTracker(),
        CountingProgress(),
    )
    assert tuned.steps == 12


def test_an_encoder_without_stored_embeddings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no dense embeddings of 'other'; there are 'tiny'"):
        tune(torch_tuner("bert"), tmp_path, encoder="other")


def test_a_loss_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    wild = tuned_by(tuning={"learning_rate": 1e30, "clip": None})
    with pytest.raises(UsageError, match="the loss became nan at step 2 of tuning"):
        tune(torch_tuner("bert"), tmp_path, recipe=wild)


def test_an_encoder_that_no_step_improves_is_not_saved(tmp_path: Path) -> None:
    standing = {"learning_rate": 1e-30, "head_rate": 1e-30}
    tuned = tune(torch_tuner("bert"), tmp_path, recipe=tuned_by(tuning=standing))
    assert tuned.best_step == 0
    assert tuned.table is None
    assert tuned.validation == tuned.untuned
    assert not (tmp_path / "model").exists()


def test_tuning_stops_when_nothing_improves(tmp_path: Path) -> None:
    recipe = tuned_by(tuning={"learning_rate": 1e-30, "head_rate": 1e-30, "patience": 2})
    assert tune(torch_tuner("bert"), tmp_path, recipe=recipe).steps == 6


def test_the_same_seed_tunes_the_same_encoder(tmp_path: Path) -> None:
    one, two = (tune(torch_tuner("bert"), tmp_path / name, recipe=unlearned({})) for name in "ab")
    assert one.validation == two.validation
    assert (tmp_path / "a/model/model.safetensors").read_bytes() == (
        tmp_path / "b/model/model.safetensors"
    ).read_bytes()

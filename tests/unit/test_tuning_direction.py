"""Decoders in which every token sees the whole text."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import TEXTS, tiny_model
from tuning import opened, read, vectors

from fusionapp.adapters.huggingface.encoder import HuggingFaceEncoder
from fusionapp.adapters.huggingface.tuning.direction import check_sees_ahead
from fusionapp.adapters.huggingface.tuning.saved import save_encoder
from fusionapp.adapters.huggingface.tuning.trainable import TrainableEncoder
from fusionapp.domain.errors import UsageError

DECODERS = ("qwen2", "qwen3", "llama", "mistral", "gemma", "gemma2", "falcon")


def first_states(encoder: TrainableEncoder, padded: bool) -> tuple[np.ndarray, np.ndarray]:
    """What the first token's state is under two texts that differ in their last token alone."""
    ids = encoder.tokenize(["the quick brown fox"], "document").ids[0]
    other = ids.copy()
    other[-1] = ids[0]
    longer = np.concatenate([ids, ids])
    batches = [[each, longer] if padded else [each] for each in (ids, other)]
    with torch.no_grad():
        one, two = (encoder.eval().embed(batch).numpy()[0] for batch in batches)
    return one, two


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("kind", DECODERS)
def test_a_tokens_state_depends_on_later_tokens_where_asked_and_there_alone(kind: str, padded: bool) -> None:
    causal, whole = (opened(kind, encoder={"pooling": "cls", "bidirectional": on}) for on in (False, True))
    np.testing.assert_array_equal(*first_states(causal, padded))
    one, two = first_states(whole, padded)
    assert np.abs(one - two).max() > 1e-3


def test_encoders_are_refused_as_they_see_the_whole_text_anyway() -> None:
    with pytest.raises(UsageError, match="bidirectional: bert is no causal decoder"):
        opened("bert", encoder={"bidirectional": True})


def test_positions_by_alibi_are_refused() -> None:
    with pytest.raises(UsageError, match="bidirectional: falcon has ALiBi"):
        opened("falcon_alibi", encoder={"bidirectional": True})


def test_a_model_that_stays_causal_is_refused() -> None:
    causal: Any = opened("qwen2").body
    with pytest.raises(UsageError, match="the attention of mine stays causal"):
        check_sees_ahead(causal, "mine")


@pytest.mark.parametrize("kind", ["qwen2", "gemma2", "mistral"])
def test_a_saved_one_stays_bidirectional_for_every_reader(kind: str, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    encoder = opened(kind, encoder={"bidirectional": True, "pooling": "mean", "normalize": False})
    save_encoder(encoder, tmp_path / "model")
    expected = vectors(encoder, TEXTS)

    np.testing.assert_allclose(read(tmp_path / "model", TEXTS), expected, rtol=1e-4, atol=1e-4)
    library = SentenceTransformer(str(tmp_path / "model"), device="cpu").encode(
        list(TEXTS), show_progress_bar=False
    )
    np.testing.assert_allclose(library, expected, rtol=1e-4, atol=1e-4)
    causal = read(tiny_model(kind), TEXTS, pooling="mean")
    assert np.abs(causal - expected).max() > 1e-2


def test_the_direction_is_part_of_an_encoders_identity(tmp_path: Path) -> None:
    causal = tiny_model("qwen2")
    whole = tmp_path / "whole"
    shutil.copytree(causal, whole)
    config = (whole / "config.json").read_text().replace("{", '{"is_causal": false,', 1)
    (whole / "config.json").write_text(config)

    found = [HuggingFaceEncoder(str(each), device="cpu").identity for each in (causal, whole)]

    assert [each["attention"] for each in found] == ["causal", "bidirectional"]
    assert [each["pooling"] for each in found] == ["last", "mean"]

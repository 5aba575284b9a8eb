"""Texts laid end to end: where each stands, and attention that stays within each."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tiny_models import TEXTS, tiny_model
from torch.nn.functional import scaled_dot_product_attention

from fusionapp.adapters.huggingface.encoder import HuggingFaceEncoder
from fusionapp.adapters.huggingface.packed_attention import packed_attention
from fusionapp.adapters.huggingface.packing import filled_size, pack


def ids(*lengths: int) -> list[NDArray[np.int32]]:
    return [np.arange(length, dtype=np.int32) + 10 * row for row, length in enumerate(lengths, 1)]


def test_positions_begin_anew_with_each_text() -> None:
    assert pack(ids(3, 2, 2)).positions.tolist() == [[0, 1, 2, 0, 1, 0, 1]]


def test_neighbours_of_equal_length_are_one_group() -> None:
    assert list(pack(ids(3, 2, 2, 1)).segments.groups) == [(0, 1, 3), (3, 2, 2), (7, 1, 1)]


def test_places_lead_back_to_each_text() -> None:
    packed = pack(ids(3, 2), skip=1)

    assert packed.ids[0, packed.places].tolist() == [[10, 11, 12], [20, 21, 10]]
    assert packed.mask.tolist() == [[False, True, True], [False, True, False]]


def test_a_pack_is_filled_up_with_texts_of_its_own_that_are_not_pooled() -> None:
    packed = pack(ids(3, 2), size=12, filler=9)

    assert packed.ids[0, 5:].tolist() == [9] * 7
    assert packed.segments.offsets.tolist() == [0, 3, 5, 8, 11, 12]
    assert packed.places.shape == (2, 3)


class Layer(torch.nn.Module):
    def __init__(self, causal: bool) -> None:
        super().__init__()
        self.is_causal = causal
        self.config: Any = None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("window", [None, 3])
def test_each_text_attends_to_itself_alone(causal: bool, window: int | None, dtype: torch.dtype) -> None:
    lengths = (7, 7, 5, 1)
    segments = pack(ids(*lengths)).segments
    q = torch.randn(1, 4, sum(lengths), 8, dtype=dtype)
    k, v = (torch.randn(1, 2, sum(lengths), 8, dtype=dtype) for _ in range(2))

    found, _ = packed_attention(
        Layer(causal), q, k, v, None, segments=segments, sliding_window=window, scaling=0.3
    )

    start = 0
    for length in lengths:
        part = slice(start, start + length)
        place = torch.arange(length)
        distance = place[:, None] - place[None, :]
        seen = torch.ones(length, length, dtype=torch.bool) if not causal else distance >= 0
        if window is not None:
            seen &= distance.abs() < window
        alone = scaled_dot_product_attention(
            q[:, :, part].float(),
            k[:, :, part].float().repeat_interleave(2, dim=1),
            v[:, :, part].float().repeat_interleave(2, dim=1),
            attn_mask=seen,
            scale=0.3,
        )
        tolerance = 1e-5 if dtype is torch.float32 else 3e-2
        torch.testing.assert_close(
            found[:, part].float().transpose(1, 2), alone, rtol=tolerance, atol=tolerance
        )
        start += length


def test_bfloat16_by_matrix_products_agrees_with_float32_as_well_as_the_fused_path() -> None:
    encoder = HuggingFaceEncoder(str(tiny_model("bert")), dtype="bfloat16", device="cpu")
    exact = HuggingFaceEncoder(str(tiny_model("bert")), dtype="float32", device="cpu")
    plan = encoder.plan(5)
    reference = np.asarray(exact.encode(TEXTS, exact.plan(5)).embeddings)

    def distance(attention: str) -> float:
        found = np.asarray(encoder.encode(TEXTS, attrs.evolve(plan, attention=attention)).embeddings)
        return float((np.linalg.norm(found - reference, axis=-1) / np.linalg.norm(reference, axis=-1)).max())

    assert distance("packed") <= max(3e-2, 2 * distance("sdpa"))


@pytest.mark.parametrize(("tokens", "size"), [(1, 128), (128, 128), (129, 256), (1000, 1024), (1024, 1024)])
def test_a_pack_is_filled_up_to_the_next_eighth_of_the_budget(tokens: int, size: int) -> None:
    assert filled_size(tokens, 1024) == size


def test_a_pack_that_was_filled_up_gives_the_same_vectors() -> None:
    encoder = HuggingFaceEncoder(str(tiny_model("llama")), dtype="float32", device="cpu")
    plan = encoder.plan(5)
    plain = np.asarray(encoder.encode(TEXTS, plan).embeddings)
    encoder._load(plan)._views._fills = True

    filled = np.asarray(encoder.encode(TEXTS, plan).embeddings)

    np.testing.assert_allclose(filled, plain, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # torch.compile's own, in torch 2.13
@pytest.mark.parametrize("kind", ["bert", "llama"])
def test_compiled_layers_give_the_same_vectors(kind: str) -> None:
    model = str(tiny_model(kind))
    plain = HuggingFaceEncoder(model, dtype="float32", device="cpu", layers="all")
    compiled = HuggingFaceEncoder(model, dtype="float32", device="cpu", layers="all", compile=True)
    plan = compiled.plan(5)
    assert plan.compile

    found = np.asarray(compiled.encode(TEXTS, plan).embeddings)

    np.testing.assert_allclose(
        found, np.asarray(plain.encode(TEXTS, plain.plan(5)).embeddings), rtol=1e-4, atol=1e-5
    )

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
from fusionapp.adapters.huggingface.packing import pack


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

"""Gradients over more texts than memory holds: exact, with dropout on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fusionapp.adapters.huggingface.tuning.chunks import cut_chunks
from fusionapp.adapters.huggingface.tuning.gradcache import RandomState, backward

CPU = torch.device("cpu")


def contrast(embeddings: Tensor) -> tuple[Tensor, Tensor]:
    leaf = embeddings.detach().requires_grad_()
    unit = nn.functional.normalize(leaf, dim=-1)
    half = len(unit) // 2
    loss = nn.functional.cross_entropy(unit[:half] @ unit[half:].T / 0.1, torch.arange(half))
    (gradient,) = torch.autograd.grad(loss, leaf)
    return loss.detach(), gradient


class Body(nn.Module):
    """Counts how often it is run."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(6, 16), nn.Dropout(0.4), nn.Tanh(), nn.Linear(16, 5)).double()
        self.runs = 0

    def forward(self, rows: Tensor) -> Tensor:
        self.runs += 1
        found = self.layers(rows)
        assert isinstance(found, Tensor)
        return found


def cached(body: Body, rows: Tensor, parts: int) -> tuple[Tensor, list[Tensor]]:
    body.zero_grad()
    torch.manual_seed(3)
    pieces = rows.chunk(parts)
    loss = backward([lambda piece=piece: body(piece) for piece in pieces], contrast, CPU)  # type: ignore[misc]
    return loss, [parameter.grad.clone() for parameter in body.parameters() if parameter.grad is not None]


def whole(body: Body, rows: Tensor, parts: int) -> tuple[Tensor, list[Tensor]]:
    """The same dropout as in parts, all with a graph."""
    body.zero_grad()
    torch.manual_seed(3)
    embeddings = torch.cat([body(piece) for piece in rows.chunk(parts)])
    loss, gradient = contrast(embeddings)
    embeddings.backward(gradient)  # type: ignore[no-untyped-call]
    return loss, [parameter.grad.clone() for parameter in body.parameters() if parameter.grad is not None]


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_gradients_equal_the_full_batchs_with_dropout_on(parts: int) -> None:
    torch.manual_seed(0)
    body, rows = Body().train(), torch.randn(16, 6, dtype=torch.float64)
    loss, gradients = cached(body, rows, parts)
    full, expected = whole(body, rows, parts)
    assert loss == full
    for found, right in zip(gradients, expected, strict=True):
        torch.testing.assert_close(found, right, rtol=0, atol=1e-10)


def test_dropout_of_both_passes_is_needed_to_be_the_same() -> None:
    torch.manual_seed(0)
    body, rows = Body().train(), torch.randn(16, 6, dtype=torch.float64)
    _, gradients = cached(body, rows, 4)
    torch.manual_seed(4)
    body.zero_grad()
    embeddings = torch.cat([body(piece) for piece in rows.chunk(4)])
    embeddings.backward(contrast(embeddings)[1])  # type: ignore[no-untyped-call]
    others = [parameter.grad for parameter in body.parameters()]
    assert any(
        not torch.allclose(one, two) for one, two in zip(gradients, others, strict=True) if two is not None
    )


def test_the_last_part_is_computed_once() -> None:
    body, rows = Body(), torch.randn(16, 6, dtype=torch.float64)
    cached(body, rows, 4)
    assert body.runs == 7


def test_random_numbers_go_on_behind_the_first_pass() -> None:
    body, rows = Body().train(), torch.randn(16, 6, dtype=torch.float64)
    cached(body, rows, 4)
    after = torch.rand(3)
    whole(body, rows, 4)
    torch.testing.assert_close(after, torch.rand(3), rtol=0, atol=0)


def test_a_random_state_is_restored() -> None:
    state = RandomState.now(CPU)
    first = torch.rand(2)
    state.restore(CPU)
    assert torch.equal(first, torch.rand(2))


@pytest.mark.parametrize(("budget", "batch"), [(64, 16), (64, 1000), (7, 4), (100_000, 64)])
def test_chunks_hold_every_text_once_within_the_budget(budget: int, batch: int) -> None:
    lengths = np.random.default_rng(0).integers(1, 40, 50)
    chunks = cut_chunks(lengths, budget, batch)
    together = np.concatenate([rows for chunk in chunks for rows in chunk])
    assert sorted(together) == list(range(50))
    for chunk in chunks:
        size = sum(len(rows) * lengths[rows].max() for rows in chunk)
        assert size <= budget or (len(chunk) == 1 and len(chunk[0]) == 1)


def test_batches_of_like_length_pad_little() -> None:
    lengths = np.concatenate([np.full(64, 16), np.random.default_rng(0).integers(100, 256, 64)])
    chunks = cut_chunks(lengths, 16384, 1024)
    padded = sum(len(rows) * lengths[rows].max() for chunk in chunks for rows in chunk)
    assert padded < 1.1 * lengths.sum()


def test_the_smallest_chunk_is_not_the_last() -> None:
    lengths = np.full(10, 10)
    sizes = [sum(len(rows) for rows in chunk) for chunk in cut_chunks(lengths, 40, 20)]
    assert sizes == [2, 4, 4]

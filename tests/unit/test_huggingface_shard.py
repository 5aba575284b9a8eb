"""Memory that runs out, and numbers that overflow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import attrs
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tiny_models import TEXTS, tiny_model
from torch import Tensor

from fusionapp.adapters.huggingface.encoder import HuggingFaceEncoder
from fusionapp.adapters.huggingface.views import pad
from fusionapp.adapters.torch_shared.shard import ShardRun, encode_rows, is_out_of_memory
from fusionapp.domain.errors import ResourceError


class SmallMemory:
    """A forward pass that fits so many padded tokens, and is not finite for some lengths in half precision."""

    def __init__(self, tokens: int = 10**9, overflowing: int | None = None) -> None:
        self.tokens = tokens
        self.overflowing = overflowing
        self.narrow = True
        self.batches: list[tuple[int, int]] = []

    def __call__(self, ids: Sequence[NDArray[np.int32]], skip: int = 0, budget: int | None = None) -> Tensor:
        size = len(ids) * max(map(len, ids))
        self.batches.append((len(ids), max(map(len, ids))))
        if size > self.tokens:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        rows = torch.tensor([[float(row.sum()), float(len(row))] for row in ids])
        if self.narrow and self.overflowing is not None:
            rows[[len(row) == self.overflowing for row in ids]] = float("inf")
        return rows[:, None, :]

    @contextmanager
    def in_float32(self) -> Iterator[None]:
        self.narrow = False
        yield
        self.narrow = True


def tokens(*lengths: int) -> list[NDArray[np.int32]]:
    return [np.full(length, row + 1, dtype=np.int32) for row, length in enumerate(lengths)]


def run(views: SmallMemory, ids: list[NDArray[np.int32]], budget: int, dtype: str = "bfloat16") -> ShardRun:
    shard = ShardRun(views, ids, (1, 2), skip=0, budget=budget)
    encode_rows(shard, dtype, views.in_float32, None)
    return shard


def test_the_budget_is_halved_until_a_batch_fits_and_no_text_is_lost() -> None:
    ids = tokens(*range(1, 33))

    shard = run(SmallMemory(tokens=100), ids, budget=500)

    assert shard.done.all()
    assert shard.vectors[:, 0, 1].tolist() == list(range(1, 33))
    assert shard.budget <= 100
    assert shard.notes[0].startswith("out of memory at 500 tokens a batch")


def test_a_text_that_does_not_fit_alone_is_an_error_with_the_way_out() -> None:
    with pytest.raises(ResourceError, match=r"a text of 50 tokens does not fit alone.*max_length"):
        run(SmallMemory(tokens=40), tokens(5, 50), budget=100)


def test_rows_that_overflow_are_computed_again_in_float32() -> None:
    shard = run(SmallMemory(overflowing=3), tokens(3, 4, 3), budget=100)

    assert shard.done.all()
    assert shard.notes == ["2 rows were not finite in bfloat16 and were computed again in float32"]


def test_rows_that_overflow_in_every_precision_fail_and_hold_zeros() -> None:
    shard = run(SmallMemory(overflowing=3), tokens(3, 4), budget=100, dtype="float32")

    assert shard.done.tolist() == [False, True]
    assert not shard.vectors[0].any()


def test_memory_that_runs_out_in_float32_leaves_the_row_failed() -> None:
    views = SmallMemory(overflowing=3)

    @contextmanager
    def too_large() -> Iterator[None]:
        raise torch.OutOfMemoryError("CUDA out of memory")
        yield

    shard = ShardRun(views, tokens(3, 4), (1, 2), skip=0, budget=100)
    encode_rows(shard, "float16", too_large, None)

    assert shard.done.tolist() == [False, True]
    assert "out of memory in float32" in shard.notes[-1]


def test_a_text_without_tokens_fails_and_is_never_computed() -> None:
    views = SmallMemory()

    shard = run(views, tokens(0, 2), budget=100)

    assert shard.done.tolist() == [False, True]
    assert views.batches == [(1, 2)]


def test_another_error_is_not_taken_for_memory() -> None:
    assert not is_out_of_memory(RuntimeError("shape mismatch"))
    assert is_out_of_memory(
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9")
    )


@pytest.mark.parametrize(("left", "first"), [(False, [5, 5, 9]), (True, [9, 5, 5])])
def test_padding_stands_on_the_side_asked_for(left: bool, first: list[int]) -> None:
    ids = [np.array([5, 5], np.int32), np.array([7, 7, 7], np.int32)]

    padded, mask, pooled = pad(ids, 9, left, 1)

    assert padded[0].tolist() == first
    assert mask.sum(axis=1).tolist() == [2, 3]
    assert pooled.sum(axis=1).tolist() == [1, 2]
    assert padded[0][mask[0] & ~pooled[0]].tolist() == [5]


def test_a_lower_budget_is_kept_for_later_shards_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = HuggingFaceEncoder(str(tiny_model("bert")), dtype="float32", device="cpu")
    plan = encoder.plan(1)
    expected = encoder.encode(TEXTS, plan).embeddings
    loaded: Any = encoder._load(plan)
    forward, limit = loaded.views, 60

    def small(ids: Sequence[NDArray[np.int32]], skip: int = 0, budget: int | None = None) -> Tensor:
        if len(ids) * max(map(len, ids)) > limit:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")
        return forward(ids, skip)  # type: ignore[no-any-return]

    monkeypatch.setattr(loaded, "views", small)
    first, second = encoder.encode(TEXTS, plan), encoder.encode(TEXTS, plan)

    assert "out of memory" in first.notes[0]
    assert "after an earlier shard ran out of memory" in second.notes[0]
    assert np.allclose(np.asarray(first.embeddings), np.asarray(expected), atol=1e-5)


def test_numbers_that_overflow_float16_are_found_and_the_weights_come_back_unrounded() -> None:
    encoder = HuggingFaceEncoder(str(tiny_model("llama")), layers=(1, -1), dtype="float16", device="cpu")
    plan = encoder.plan(1)
    body = encoder._load(plan)._modules[0]
    large = body.get_parameter("layers.0.mlp.down_proj.weight")
    with torch.no_grad():
        large.mul_(3e4)  # float16 ends at 65,504
    before = {name: tensor.clone() for name, tensor in (*body.named_parameters(), *body.named_buffers())}

    encoding = encoder.encode(TEXTS, plan)

    assert "were not finite in float16 and were computed again in float32" in encoding.notes[0]
    assert not encoding.failed.any()
    assert np.abs(np.asarray(encoding.embeddings)).max() > 65504
    after = dict((*body.named_parameters(), *body.named_buffers()))
    assert all(after[name].dtype == before[name].dtype for name in before)
    assert all(torch.equal(after[name], before[name]) for name in before)


@pytest.mark.parametrize("layers", [(-1,), "all"])
def test_threads_with_batches_of_their_own_give_the_bytes_that_one_gives(layers: Any) -> None:
    encoder = HuggingFaceEncoder(str(tiny_model("bert")), layers=layers, dtype="float32", device="cpu")
    texts = [f"{text} {row}" for row in range(20) for text in TEXTS]
    plan = attrs.evolve(encoder.plan(1), batch_tokens=64, threads=1)

    one = encoder.encode(texts, plan)
    three = encoder.encode(texts, attrs.evolve(plan, threads=3))

    assert np.asarray(one.embeddings).tobytes() == np.asarray(three.embeddings).tobytes()


def test_memory_that_runs_out_in_one_thread_loses_no_text_of_the_others() -> None:
    ids = tokens(*range(1, 33))
    shard = ShardRun(SmallMemory(tokens=100), ids, (1, 2), skip=0, budget=500, threads=3)

    encode_rows(shard, "float32", SmallMemory().in_float32, None)

    assert shard.done.all()
    assert shard.vectors[:, 0, 1].tolist() == list(range(1, 33))


@pytest.mark.parametrize("texts", [1, 40])
def test_torch_has_as_many_threads_after_encoding_as_before(texts: int) -> None:
    encoder = HuggingFaceEncoder(str(tiny_model("bert")), dtype="float32", device="cpu")
    before = torch.get_num_threads()

    encoder.encode(["a day"] * texts, attrs.evolve(encoder.plan(1), batch_tokens=8, threads=before + 2))

    assert torch.get_num_threads() == before

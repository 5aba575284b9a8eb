"""A set that was begun on one device and is resumed on another."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import pytest
from fakes.datasets import MemorySource
from fakes.encoders import CountingEncoder
from fakes.heads import CountingProgress
from fakes.stores import MemoryEmbeddingStore, MemorySpool

from fusionapp.adapters.executors.local import LocalExecutor
from fusionapp.application.ports.spool import SpooledSplit
from fusionapp.application.services.extract_embeddings import ExtractEmbeddings
from fusionapp.domain.embeddings import ExecutionPlan


class RecordingEncoder(CountingEncoder):
    """Remembers the plans that it was asked to compute by, and plans for the device it is given."""

    def __init__(self, device: str, fail_after: int = 10**9) -> None:
        super().__init__()
        self.device, self.fail_after, self.plans = device, fail_after, list[ExecutionPlan]()

    def plan(self, rows: int) -> ExecutionPlan:
        return attrs.evolve(super().plan(rows), device=self.device)

    def before(self, texts: Sequence[str], plan: ExecutionPlan) -> None:
        if len(self.plans) == self.fail_after:
            raise RuntimeError("killed")
        self.plans.append(plan)


def spooled(rows: int) -> SpooledSplit:
    source = MemorySource({"train": [(f"text {row}", "a") for row in range(rows)]})
    return MemorySpool().write("train", source.read("train"))


def test_a_set_begun_on_a_gpu_goes_on_where_there_is_none() -> None:
    texts = spooled(6)
    store = MemoryEmbeddingStore()
    extract = ExtractEmbeddings(store, LocalExecutor(), CountingProgress())
    with pytest.raises(RuntimeError, match="killed"):
        extract("a", RecordingEncoder("cuda:0", fail_after=1), {"train": texts}, shard_rows=2)

    here = RecordingEncoder("cpu")
    (done,) = extract("a", here, {"train": texts}, shard_rows=2)

    assert done.status.complete
    assert {plan.device for plan in here.plans} == {"cpu"}
    stored = store.read(done.key)
    assert stored is not None
    assert stored.header.plan.device == "cuda:0"


def test_rows_appended_to_a_set_made_on_a_gpu_are_encoded_where_there_is_none() -> None:
    store = MemoryEmbeddingStore()
    extract = ExtractEmbeddings(store, LocalExecutor(), CountingProgress())
    extract("a", RecordingEncoder("cuda:0"), {"train": spooled(4)}, shard_rows=2)

    here = RecordingEncoder("cpu")
    (done,) = extract("a", here, {"train": spooled(6)}, shard_rows=2)

    assert done.status.complete
    assert [plan.device for plan in here.plans] == ["cpu"]

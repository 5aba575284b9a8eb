"""Queries and documents embedded, each by its own reader, and the inventory that tells of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest
from fakes.encoders import CountingEncoder
from fakes.heads import CountingProgress
from fakes.stores import MemoryEmbeddingStore, MemoryRunStore, MemorySpool

from fusionapp.adapters.executors.local import LocalExecutor
from fusionapp.application.ports.spool import SpooledSplit
from fusionapp.application.services.extract_embeddings import ExtractEmbeddings
from fusionapp.application.services.extract_parts import ExtractParts, PartEncoders, PartsExtraction
from fusionapp.application.services.report_status import ReportStatus
from fusionapp.domain.examples import Example

PARTS = [f"{split}.{part}" for split in ("train", "test") for part in ("queries", "documents")]


def reader(name: str = "a") -> CountingEncoder:
    return CountingEncoder(layers=1, name=name)


@attrs.define
class Bench:
    """A run over fakes."""

    runs: MemoryRunStore
    store: MemoryEmbeddingStore = attrs.field(factory=MemoryEmbeddingStore)
    spool: MemorySpool = attrs.field(factory=MemorySpool)
    texts: dict[str, SpooledSplit] = attrs.field(factory=dict)

    def write(self, part: str, count: int = 3) -> None:
        examples = [Example(f"{part} {row}", None, {"id": str(row)}) for row in range(count)]
        self.texts[part] = self.spool.write(part, examples)

    def extract(self, encoders: Mapping[str, PartEncoders], *parts: str, **how: Any) -> PartsExtraction:
        step = ExtractParts(ExtractEmbeddings(self.store, LocalExecutor(), CountingProgress()), self.runs)
        settings: dict[str, Any] = {
            "encoders": encoders,
            "parts": {part: self.texts[part] for part in parts or PARTS},
            "origins": {part: f"file of {part}" for part in PARTS},
            "storage": {"adapter": "memory", "root": "."},
            "shard_rows": 2,
            "dataset": {part: texts.texts_sha256 for part, texts in self.texts.items()},
            "kept": ["tiny"],
            "versions": {},
        }
        return step(**{**settings, **how})

    @property
    def inventory(self) -> Any:
        return self.runs.read_document("embeddings.json")


@pytest.fixture(name="bench")
def _bench(tmp_path: Path) -> Bench:
    bench = Bench(MemoryRunStore(tmp_path))
    for part in PARTS:
        bench.write(part)
    return bench


def test_each_side_is_read_by_its_own_encoder(bench: Bench) -> None:
    query, document = reader("q"), reader("d")
    found = bench.extract({"tiny": PartEncoders(query, document)})
    assert {text.split()[0] for text in query.encoded} == {"train.queries", "test.queries"}
    assert {text.split()[0] for text in document.encoded} == {"train.documents", "test.documents"}
    assert {one.split for one in found.sets["tiny"]} == set(PARTS)
    assert found.inventory["encoders"]["tiny"]["query_identity"] == dict(query.identity)
    assert found.inventory["encoders"]["tiny"]["identity"] == dict(document.identity)


def test_an_encoder_without_sides_runs_once(bench: Bench) -> None:
    encoder = reader()
    bench.extract({"tiny": PartEncoders.alike(encoder)})
    assert len(encoder.encoded) == 12
    assert encoder.closed == 1


def test_what_is_stored_is_not_encoded_again(bench: Bench) -> None:
    bench.extract({"tiny": PartEncoders.alike(reader())})
    again = reader()
    bench.extract({"tiny": PartEncoders.alike(again)})
    assert again.encoded == []


def test_a_part_of_the_splits_leaves_the_inventory_partial(bench: Bench) -> None:
    bench.extract({"tiny": PartEncoders.alike(reader())}, "test.queries", "test.documents")
    assert bench.inventory["partial"]
    assert not ReportStatus(bench.store)(bench.inventory).complete


def test_a_later_part_of_a_job_hides_nothing_of_what_was_extracted(bench: Bench) -> None:
    bench.extract({"tiny": PartEncoders.alike(reader())})
    bench.extract(
        {"tuned-0": PartEncoders.alike(reader("t")), "tiny": PartEncoders.alike(reader())},
        "test.queries",
        "test.documents",
    )
    assert set(bench.inventory["encoders"]["tiny"]["sets"]) == set(PARTS)
    assert set(bench.inventory["encoders"]["tuned-0"]["sets"]) == {"test.queries", "test.documents"}
    assert not bench.inventory["partial"]
    status = ReportStatus(bench.store)(bench.inventory)
    assert status.complete
    assert (status.rows, status.encoders["tiny"].rows, status.encoders["tuned-0"].rows) == (12, 12, 6)


def test_an_encoder_that_this_job_leaves_out_stays_where_it_may(bench: Bench) -> None:
    bench.extract({"tiny": PartEncoders.alike(reader()), "old": PartEncoders.alike(reader("o"))})
    bench.extract({"tuned-0": PartEncoders.alike(reader("t"))}, "test.queries", "test.documents")
    assert set(bench.inventory["encoders"]) == {"tiny", "tuned-0"}


def test_sets_of_other_texts_are_dropped(bench: Bench) -> None:
    bench.extract({"tiny": PartEncoders.alike(reader())})
    bench.write("train.queries", 5)
    bench.extract({"tiny": PartEncoders.alike(reader())}, "test.queries", "test.documents")
    assert set(bench.inventory["encoders"]["tiny"]["sets"]) == {*PARTS} - {"train.queries"}
    assert bench.inventory["partial"]


@pytest.mark.parametrize("change", ["encoder", "storage"])
def test_sets_of_another_encoder_or_store_are_dropped(bench: Bench, change: str) -> None:
    bench.extract({"tiny": PartEncoders.alike(reader())})
    other = {"storage": {"adapter": "memory", "root": "elsewhere"}} if change == "storage" else {}
    name = "other" if change == "encoder" else "a"
    bench.extract({"tiny": PartEncoders.alike(reader(name))}, "test.queries", "test.documents", **other)
    assert set(bench.inventory["encoders"]["tiny"]["sets"]) == {"test.queries", "test.documents"}


def test_times_of_an_earlier_run_are_carried(bench: Bench) -> None:
    bench.extract({"tiny": PartEncoders.alike(reader())})
    before = bench.inventory["encoders"]["tiny"]["sets"]
    bench.extract({"tiny": PartEncoders.alike(reader())})
    after = bench.inventory["encoders"]["tiny"]["sets"]
    assert {part: place["encoded_rows"] for part, place in after.items()} == dict.fromkeys(PARTS, 3)
    assert all(after[part]["seconds"] >= before[part]["seconds"] for part in PARTS)

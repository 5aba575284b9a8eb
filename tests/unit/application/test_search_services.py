"""Building a run's index and asking it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.encoders import CountingEncoder
from fakes.indexes import MemoryIndex
from fakes.stores import MemoryEmbeddingStore, MemorySpool

from fusionapp.adapters.bm25.ranker import Bm25
from fusionapp.adapters.faiss_index.index import FaissIndex
from fusionapp.adapters.filesystem.run_directory import RunDirectory
from fusionapp.adapters.numpy_index.index import NumpyIndex
from fusionapp.adapters.tfidf.ranker import TfIdf
from fusionapp.application.ports.embedding_store import Quarantined
from fusionapp.application.ports.vector_index import VectorIndex
from fusionapp.application.services.build_index import BuildIndex
from fusionapp.application.services.extracted_sets import job_header
from fusionapp.application.services.hybrid import Hybrid, keep_hybrids
from fusionapp.application.services.search_index import SearchIndex
from fusionapp.domain.embeddings import Json
from fusionapp.domain.errors import CorruptArtifactError, UsageError
from fusionapp.domain.examples import Example

TEXTS = [f"document number {row}" for row in range(9)]
SPLIT = "test.documents"
LEFT_OUT = 3
WORDS = {"bm25": Bm25(), "tfidf": TfIdf()}


class House:
    """A run with stored embeddings of its documents, one of them quarantined."""

    def __init__(self, directory: Path, layers: int = 1) -> None:
        self.encoder = CountingEncoder(layers=layers)
        self.store, self.spool = MemoryEmbeddingStore(), MemorySpool()
        self.runs = RunDirectory(directory / "run")
        examples = [Example(text, f"topic {row % 2}", {"id": f"d{row}"}) for row, text in enumerate(TEXTS)]
        header = job_header(self.encoder, self.spool.write(SPLIT, examples), 4)
        vectors = np.asarray(self.encoder.encode(TEXTS, header.plan).embeddings)
        with self.store.write("set", header) as writer:
            for shard in writer.pending():
                span = np.arange(shard.start, shard.stop)
                rows = span[span != LEFT_OUT]
                bad = [Quarantined(LEFT_OUT, "blank")] if LEFT_OUT in span else []
                writer.commit(shard, rows, vectors[rows], 0, bad)
        self.memory = MemoryIndex()
        self.indexes: dict[str, VectorIndex] = {
            "memory": self.memory,
            "numpy": NumpyIndex(),
            "flat": FaissIndex("flat"),
        }

    def build(self, kind: str = "memory", key: str = "set", similarity: str = "cosine") -> Mapping[str, Json]:
        return BuildIndex(self.store, self.indexes, self.runs)(kind, key, "a", SPLIT, similarity)

    @property
    def search(self) -> SearchIndex:
        return SearchIndex(self.indexes, self.runs, self.spool)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


@pytest.mark.parametrize("kind", ["memory", "numpy", "flat"])
def test_a_document_is_found_by_its_own_text(kind: str, house: House) -> None:
    house.build(kind)
    kept = [row for row in range(9) if row != LEFT_OUT]
    answers = list(house.search([TEXTS[row] for row in kept], house.encoder, 2, batch_size=3))
    assert [answer.hits[0].id for answer in answers] == [f"d{row}" for row in kept]
    assert [answer.hits[0].text for answer in answers] == [TEXTS[row] for row in kept]
    assert [answer.hits[0].topic for answer in answers] == [f"topic {row % 2}" for row in kept]
    assert all(answer.hits[0].score == pytest.approx(1.0, abs=1e-5) for answer in answers)
    assert {len(answer.hits) for answer in answers} == {2}


def test_fewer_documents_than_asked_for_are_all_found(house: House) -> None:
    house.build()
    (answer,) = house.search(["anything"], house.encoder, 100)
    assert sorted(hit.id for hit in answer.hits) == [f"d{row}" for row in range(9) if row != LEFT_OUT]


def test_dot_keeps_the_vectors_lengths(house: House) -> None:
    house.build(similarity="dot")
    (answer,) = house.search([TEXTS[0]], house.encoder, 100)
    vector = np.asarray(house.encoder.encode(TEXTS[:1], house.encoder.plan(1)).embeddings)[0, 0]
    own = next(hit for hit in answer.hits if hit.id == "d0")
    assert own.score == pytest.approx(float(vector @ vector), rel=1e-5)


def test_documents_without_a_word_of_the_query_have_no_part_in_a_hybrid_search(house: House) -> None:
    house.build()
    (plain,) = house.search(["entirely unlike"], house.encoder, 5)
    (hybrid,) = house.search(["entirely unlike"], house.encoder, 5, words={"bm25": Bm25()})
    assert [hit.id for hit in hybrid.hits] == [hit.id for hit in plain.hits]
    (hybrid,) = house.search(["entirely unlike 7"], house.encoder, 5, words={"bm25": Bm25()})
    assert hybrid.hits[0].id == "d7"


def search_by_both(house: House, query: str) -> list[str]:
    (answer,) = house.search([query], house.encoder, 8, words=WORDS)
    return [str(hit.id) for hit in answer.hits]


def test_a_hybrid_search_weighs_as_the_evaluation_chose_for_its_encoder(house: House) -> None:
    house.build()
    (plain,) = house.search(["number 7"], house.encoder, 7)
    keep_hybrids(house.runs, [(house.encoder.identity, Hybrid("bm25", 1.0))], 100)
    assert search_by_both(house, "number 7")[:7] == [hit.id for hit in plain.hits]  # all weight on vectors
    keep_hybrids(house.runs, [(house.encoder.identity, Hybrid("tfidf", 0.0))], 100)
    assert search_by_both(house, "number 7")[0] == "d7"  # all weight on words
    (answer,) = house.search(["number 7"], house.encoder, 1, words=WORDS)
    assert answer.hits[0].score == pytest.approx(1.0)


def test_a_query_without_a_known_word_goes_by_vectors_whatever_the_weight(house: House) -> None:
    house.build()
    (plain,) = house.search(["entirely unlike"], house.encoder, 7)
    keep_hybrids(house.runs, [(house.encoder.identity, Hybrid("bm25", 0.0))], 100)
    assert search_by_both(house, "entirely unlike")[:7] == [hit.id for hit in plain.hits]


def test_what_was_chosen_for_another_encoder_has_no_part_in_a_hybrid_search(house: House) -> None:
    house.build()
    by_ranks = search_by_both(house, "number 7")
    keep_hybrids(house.runs, [({"model": "another"}, Hybrid("bm25", 1.0))], 100)
    assert search_by_both(house, "number 7") == by_ranks


@pytest.mark.parametrize(
    "broken",
    [
        {"encoders": [{}]},
        {"depth": 100},
        {"depth": 100, "encoders": [{"words": "other", "weight": None}]},
        {"depth": 100, "encoders": [{"words": "bm25", "weight": "heavy"}]},
        {"depth": 100, "encoders": [{"words": "bm25", "weight": 2}]},
        {"depth": 0, "encoders": [{"words": "bm25", "weight": None}]},
        {"depth": 1.5, "encoders": [{"words": "bm25", "weight": None}]},
    ],
)
def test_a_broken_choice_of_hybrids_is_named(broken: dict[str, Any], house: House) -> None:
    house.build()
    encoders = [
        {"identity": json.loads(json.dumps(dict(house.encoder.identity))), **one}
        for one in broken.get("encoders", [])
    ]
    house.runs.write_document("hybrids.json", {**broken, **({"encoders": encoders} if encoders else {})})
    with pytest.raises(CorruptArtifactError, match=r"hybrids\.json: .*run `fusionapp evaluate --overwrite`"):
        search_by_both(house, "number 7")


def test_the_index_is_described_and_recorded(house: House) -> None:
    described = house.build("numpy")
    assert (described["kind"], described["rows"], described["dim"]) == ("numpy", 8, 8)
    assert described["sha256"] == house.runs.hash_file("index/vectors.index")
    assert described["identity"] == dict(house.encoder.identity)
    assert described["left_out"] == [LEFT_OUT]
    assert house.runs.read_document("index/index.json") == described
    assert house.runs.verify() == []


def test_the_same_index_is_not_built_again(house: House) -> None:
    first = house.build("numpy")
    before = Path(house.runs.path("index/vectors.index")).stat().st_ino
    assert house.build("numpy") == first
    assert Path(house.runs.path("index/vectors.index")).stat().st_ino == before


def test_a_changed_file_is_refused_before_its_library_reads_it(house: House) -> None:
    house.build()
    Path(house.runs.path("index/vectors.index")).write_bytes(b"garbled")
    with pytest.raises(CorruptArtifactError, match="hash"):
        list(house.search(["query"], house.encoder))
    assert house.memory.opened == 0


@pytest.mark.parametrize("damaged", [None, [], {"kind": "memory"}])
def test_an_index_whose_file_or_description_is_gone_is_built_again(damaged: Any, house: House) -> None:
    first = house.build()
    if damaged is None:
        Path(house.runs.path("index/vectors.index")).unlink()
    else:
        house.runs.write_document("index/index.json", damaged)
    assert house.build() == first
    assert house.runs.verify() == []


def test_a_search_without_an_index_says_what_to_run(house: House) -> None:
    with pytest.raises(UsageError, match="fusionapp index"):
        list(house.search(["query"], house.encoder))


def test_a_document_that_describes_no_index_is_corrupt(house: House) -> None:
    house.build()
    house.runs.write_document("index/index.json", {"kind": "memory"})
    with pytest.raises(CorruptArtifactError, match="does not describe"):
        list(house.search(["query"], house.encoder))


def test_documents_that_are_not_those_of_the_index_are_corrupt(house: House) -> None:
    house.build()
    house.spool.write(SPLIT, [Example("another", None, {"id": "x"})])
    with pytest.raises(CorruptArtifactError, match="beside"):
        list(house.search(["query"], house.encoder))


def test_a_blank_query_is_named(house: House) -> None:
    house.build()
    with pytest.raises(UsageError, match="query 2 is blank"):
        list(house.search(["a", "b", "  "], house.encoder, batch_size=2))


@pytest.mark.parametrize(
    ("kind", "key", "similarity"),
    [("annoy", "set", "cosine"), ("memory", "gone", "cosine"), ("memory", "set", "euclid")],
)
def test_what_cannot_be_built_is_refused(kind: str, key: str, similarity: str, house: House) -> None:
    with pytest.raises(UsageError):
        house.build(kind, key, similarity)


def test_several_layers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="2 layers"):
        House(tmp_path, layers=2).build()

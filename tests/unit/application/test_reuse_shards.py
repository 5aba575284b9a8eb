"""What the store holds already is copied: rows before others were appended, and layers of a larger request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np
import pytest
from fakes.encoders import CountingEncoder, FailingEncoder
from fakes.house import BuildHouse, House, examples
from hypothesis import given, strategies as st

from fusionapp.application.services.reuse_shards import taken_layers
from fusionapp.domain.embeddings import (
    EmbeddingShape,
    Encoding,
    Json,
    fingerprint_prefixes,
    fingerprint_texts,
)

ROWS = examples(10, 1)
MORE = [*ROWS, *examples(4, 2)]


class LayeredEncoder(CountingEncoder):
    """Says which layers it keeps, as a transformer does."""

    def __init__(self, *layers: int, pooling: str = "mean") -> None:
        super().__init__(layers=12)
        self._kept = layers
        self._pooling = pooling

    @property
    def identity(self) -> Mapping[str, Json]:
        return {"adapter": "layered", "layers": list(self._kept), "pooling": self._pooling}

    @property
    def shape(self) -> EmbeddingShape:
        return EmbeddingShape(layers=len(self._kept), dim=8)

    def after(self, texts: Sequence[str], encoding: Encoding) -> Encoding:
        return attrs.evolve(encoding, embeddings=np.asarray(encoding.embeddings)[:, list(self._kept)])


def appended(house: House, rows: list[tuple[str, str | None]]) -> None:
    house.splits = {"train": rows}


def test_rows_that_were_appended_are_all_that_is_encoded(build: BuildHouse) -> None:
    house = build({"train": ROWS})
    house.extract({"a": CountingEncoder()}, shard_rows=4)
    appended(house, MORE)
    again = CountingEncoder()

    extraction = house.extract({"a": again}, shard_rows=4)

    assert again.encoded == [text for text, _ in MORE[8:]]  # the last shard was not full
    whole = build({"train": MORE})
    expected = whole.gather(whole.extract({"a": CountingEncoder()}, shard_rows=4), "train").sources["a"]
    np.testing.assert_array_equal(house.gather(extraction, "train").sources["a"], expected)


def test_the_longer_set_is_cut_as_the_shorter_one_was(build: BuildHouse) -> None:
    house = build({"train": ROWS})
    house.extract({"a": CountingEncoder()}, shard_rows=5)
    appended(house, MORE)
    again = CountingEncoder()

    house.extract({"a": again}, shard_rows=4)

    assert len(again.encoded) == 4


def test_rows_that_changed_are_not_taken_from_an_earlier_set(build: BuildHouse) -> None:
    house = build({"train": ROWS})
    house.extract({"a": CountingEncoder()}, shard_rows=4)
    appended(house, [("another text", "joy"), *MORE[1:]])
    again = CountingEncoder()

    house.extract({"a": again}, shard_rows=4)

    assert len(again.encoded) == len(MORE)


def test_another_encoders_rows_are_not_taken(build: BuildHouse) -> None:
    house = build({"train": ROWS})
    house.extract({"a": CountingEncoder()}, shard_rows=4)
    appended(house, MORE)
    again = CountingEncoder(name="b")

    house.extract({"a": again}, shard_rows=4)

    assert len(again.encoded) == len(MORE)


def test_quarantined_rows_and_truncated_counts_come_along(build: BuildHouse) -> None:
    rows = [("FAIL now", "joy"), *ROWS[1:]]
    house = build({"train": rows})
    house.extract({"a": FailingEncoder()}, shard_rows=5)
    appended(house, [*rows, *MORE[10:]])

    status = house.extract({"a": FailingEncoder()}, shard_rows=5).sets["a"][0].status

    assert [one.row for one in status.quarantined] == [0]
    assert status.complete


def test_a_shard_that_is_damaged_there_is_encoded_here(build: BuildHouse) -> None:
    house = build({"train": ROWS})
    key = house.extract({"a": CountingEncoder()}, shard_rows=5).sets["a"][0].key
    house.store.damage(key, 0)
    appended(house, MORE)
    again = CountingEncoder()

    house.extract({"a": again}, shard_rows=5)

    assert again.encoded == [text for text, _ in [*MORE[:5], *MORE[10:]]]


def test_stored_layers_serve_a_smaller_request_in_its_own_order(build: BuildHouse) -> None:
    house = build({"train": ROWS})
    house.extract({"a": LayeredEncoder(3, 7, 11)})
    again = LayeredEncoder(11, 3)

    extraction = house.extract({"a": again})

    assert again.encoded == []
    alone = build({"train": ROWS})
    expected = alone.gather(alone.extract({"a": LayeredEncoder(11, 3)}), "train").sources["a"]
    np.testing.assert_array_equal(house.gather(extraction, "train").sources["a"], expected)


@pytest.mark.parametrize("other", [LayeredEncoder(3, 4), LayeredEncoder(3, pooling="cls")])
def test_layers_that_are_not_stored_or_pooled_otherwise_are_encoded(
    build: BuildHouse, other: LayeredEncoder
) -> None:
    house = build({"train": ROWS})
    house.extract({"a": LayeredEncoder(3, 7)})

    house.extract({"a": other})

    assert len(other.encoded) == len(ROWS)


def test_identities_are_matched_by_everything_but_their_layers() -> None:
    stored = {"layers": [1, 2, 3], "pooling": "mean"}

    assert taken_layers(stored, stored) == ()
    assert taken_layers(stored, {"layers": [3, 1], "pooling": "mean"}) == (2, 0)
    assert taken_layers(stored, {"layers": [3, 0], "pooling": "mean"}) is None
    assert taken_layers(stored, {"layers": [3], "pooling": "cls"}) is None
    assert taken_layers({"dim": 8}, {"dim": 9}) is None


@given(st.lists(st.text(max_size=3), min_size=1, max_size=9), st.data())
def test_prefixes_have_the_fingerprints_of_their_texts(texts: list[str], data: st.DataObject) -> None:
    sizes = sorted(data.draw(st.sets(st.integers(1, len(texts)), min_size=1)))

    assert fingerprint_prefixes(texts, sizes) == [fingerprint_texts(texts[:size]) for size in sizes]

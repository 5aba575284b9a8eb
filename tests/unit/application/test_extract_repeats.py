"""A text that stands in several rows is encoded once, in whichever shards it stands."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from fakes.encoders import CountingEncoder, FailingEncoder, RefusingEncoder
from fakes.house import BuildHouse
from numpy.typing import NDArray

from fusionapp.domain.embeddings import ExecutionPlan
from fusionapp.domain.errors import DatasetError, ResourceError, WorkersLostError

TEXTS = ["one", "two", "one", " ", "three", "two", "two", "four", "five", "one", "five", " "]


def rows_of(*texts: str) -> dict[str, list[tuple[str, str | None]]]:
    return {"train": [(text, "x") for text in texts]}


def alone(text: str) -> NDArray[np.float32]:
    encoder = CountingEncoder()
    found: NDArray[np.float32] = np.asarray(encoder.encode([text], encoder.plan(1)).embeddings)[0]
    return found


@pytest.mark.parametrize("shard_rows", [1, 2, 3, 5, 100])
def test_every_text_is_encoded_once_and_every_row_has_its_texts_vector(
    build: BuildHouse, shard_rows: int
) -> None:
    house, encoder = build(rows_of(*TEXTS)), CountingEncoder()

    extraction = house.extract({"a": encoder}, shard_rows=shard_rows, on_empty="quarantine")

    assert sorted(encoder.encoded) == ["five", "four", "one", "three", "two"]
    kept = [text for text in TEXTS if text.strip()]
    stored = house.gather(extraction, "train").sources["a"]
    np.testing.assert_array_equal(stored, np.stack([alone(text) for text in kept]))


def test_blank_rows_are_quarantined_as_blank_and_not_as_repeats(build: BuildHouse) -> None:
    extraction = build(rows_of(*TEXTS)).extract({"a": CountingEncoder()}, shard_rows=3, on_empty="quarantine")

    quarantined = extraction.sets["a"][0].status.quarantined
    assert [(one.row, one.reason) for one in quarantined] == [(3, "blank text"), (11, "blank text")]


def test_the_repeat_of_a_quarantined_row_is_quarantined_with_it(build: BuildHouse) -> None:
    house = build(rows_of("FAIL", "good", "FAIL", "good", "FAIL"))

    extraction = house.extract({"a": FailingEncoder()}, shard_rows=3)

    status = extraction.sets["a"][0].status
    assert [one.row for one in status.quarantined] == [0, 2, 4]
    assert "row 0" in status.quarantined[2].reason
    assert status.complete


def test_repeats_of_a_text_that_is_cut_count_as_truncated(build: BuildHouse) -> None:
    extraction = build(rows_of("a b c", "a b c", "a", "a b c")).extract(
        {"a": CountingEncoder(max_length=2)}, shard_rows=2
    )

    assert extraction.sets["a"][0].status.truncated == 3


def test_a_damaged_shard_takes_its_repeats_from_the_shards_before_it(build: BuildHouse) -> None:
    house = build(rows_of("one", "two", "one", "three"))
    extraction = house.extract({"a": CountingEncoder()}, shard_rows=2)
    house.store.damage(extraction.sets["a"][0].key, 1)
    again = CountingEncoder()

    house.extract({"a": again}, shard_rows=2)

    assert again.encoded == ["three"]
    np.testing.assert_array_equal(
        house.gather(extraction, "train").sources["a"],
        np.stack([alone(text) for text in ("one", "two", "one", "three")]),
    )


def test_a_text_that_must_not_be_cut_is_named_by_its_row(build: BuildHouse) -> None:
    house = build(rows_of("a", "b", "a", "c", "b", "long"))

    with pytest.raises(DatasetError, match=r"a train: row 5 is too long"):
        house.extract({"a": RefusingEncoder("long")}, shard_rows=3)


class LostEncoder(CountingEncoder):
    """No worker survives its second part."""

    def before(self, texts: Sequence[str], plan: ExecutionPlan) -> None:
        if self.calls == 1:
            raise WorkersLostError("executor: every worker died")


def test_a_shard_that_no_worker_survives_is_named(build: BuildHouse) -> None:
    house = build(rows_of(*"abcde"))

    with pytest.raises(ResourceError, match=r"a train: shard 1 \(rows 2 to 3\): executor: every worker died"):
        house.extract({"a": LostEncoder()}, shard_rows=2)


def test_the_part_that_took_longest_is_named(build: BuildHouse) -> None:
    effort = build(rows_of(*"abcdef")).extract({"a": CountingEncoder()}).sets["a"][0].effort

    assert effort.bottleneck in ("device", "tokenizer", "disk")
    assert effort.seconds >= effort.encoder_seconds

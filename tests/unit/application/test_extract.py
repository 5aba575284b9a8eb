"""Extraction encodes what is missing, once, and says what it could not."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from fakes.encoders import CountingEncoder, FailingEncoder
from fakes.house import BuildHouse, examples

from fusionapp.application.services import plan_extraction
from fusionapp.application.services.extracted_sets import ExtractedSet
from fusionapp.application.services.plan_extraction import PlanExtraction
from fusionapp.application.services.report_status import ReportStatus
from fusionapp.application.services.verify_embeddings import VerifyEmbeddings
from fusionapp.domain.embeddings import ExecutionPlan
from fusionapp.domain.errors import CorruptArtifactError, DatasetError, UpstreamError, UsageError

SPLITS = {"train": examples(10, 1), "test": examples(6, 2)}


class TiredEncoder(CountingEncoder):
    """Gives up after so many calls."""

    def __init__(self, calls: int) -> None:
        super().__init__()
        self._left = calls

    def before(self, texts: Sequence[str], plan: ExecutionPlan) -> None:
        if self._left == 0:
            raise UpstreamError("the hub went away")
        self._left -= 1


def test_rows_stand_in_input_order_whatever_the_shards(build: BuildHouse) -> None:
    house, encoder = build(SPLITS), CountingEncoder()
    extraction = house.extract({"a": encoder}, shard_rows=3)
    texts = [text for text, _ in SPLITS["train"]]
    stored = house.gather(extraction, "train").sources["a"]
    alone = [np.asarray(CountingEncoder().encode([text], encoder.plan(1)).embeddings)[0] for text in texts]
    np.testing.assert_array_equal(stored, np.stack(alone))


def test_what_is_durable_is_not_encoded_again(build: BuildHouse) -> None:
    house = build(SPLITS)
    house.extract({"a": CountingEncoder()})
    again = CountingEncoder()
    extraction = house.extract({"a": again})
    assert again.encoded == []
    assert [one.effort.seconds for one in extraction.sets["a"]] == [0.0, 0.0]


def test_an_encoder_that_fails_mid_way_leaves_what_is_durable_and_the_rest_is_done_later(
    build: BuildHouse,
) -> None:
    house, tired = build(SPLITS), TiredEncoder(2)
    with pytest.raises(UpstreamError):
        house.extract({"a": tired}, shard_rows=4)
    assert tired.closed == 1
    inventory = house.runs.read_document("embeddings.json")
    assert inventory is not None
    assert not inventory["finished"]
    status = ReportStatus(house.store)(inventory)
    assert (status.encoders["a"].durable_rows, status.rows, status.complete) == (8, 16, False)
    rested = CountingEncoder()
    whole = house.extract({"a": rested}, shard_rows=4)
    assert rested.encoded == [text for text, _ in [*SPLITS["train"][8:], *SPLITS["test"]]]
    assert ReportStatus(house.store)(whole.inventory).complete


def test_the_log_says_what_each_encoder_chose(build: BuildHouse, caplog: pytest.LogCaptureFixture) -> None:
    encoder = CountingEncoder()
    with caplog.at_level(logging.INFO):
        build(SPLITS).extract({"a": encoder})
    assert encoder.choices
    assert [f"a: {choice}" for choice in encoder.choices] == [
        line for line in caplog.messages if line.startswith("a: ")
    ]


def test_weights_are_freed_when_an_encoder_is_done(build: BuildHouse) -> None:
    first, second = CountingEncoder(name="a"), CountingEncoder(name="b")
    build(SPLITS).extract({"a": first, "b": second})
    assert (first.closed, second.closed) == (1, 1)


def test_progress_starts_at_what_was_done_before_and_ends_full(build: BuildHouse) -> None:
    house = build(SPLITS)
    with pytest.raises(UpstreamError):
        house.extract({"a": TiredEncoder(1)}, shard_rows=4)
    house.progress.tasks.clear()
    house.extract({"a": CountingEncoder()}, shard_rows=4)
    assert [(task.name, task.total, task.done) for task in house.progress.tasks] == [
        ("a train", 10, 10),
        ("a test", 6, 6),
    ]


def test_a_blank_text_is_an_error_that_names_origin_row_and_column(build: BuildHouse) -> None:
    house = build({"train": [("joy", "joy"), (" \n", "joy")]})
    with pytest.raises(
        DatasetError, match=r"memory \(train\), row 1 \(counted from 0\), column 'text': the text is blank"
    ):
        house.extract({"a": CountingEncoder()})


def test_a_blank_text_can_be_quarantined_and_is_never_encoded(build: BuildHouse) -> None:
    house, encoder = build({"train": [("joy", "joy"), ("  ", "joy"), ("fear", "fear")]}), CountingEncoder()
    extraction = house.extract({"a": encoder}, on_empty="quarantine")
    assert encoder.encoded == ["joy", "fear"]
    status = extraction.sets["a"][0].status
    assert [(one.row, one.reason) for one in status.quarantined] == [(1, "blank text")]
    assert (status.durable_rows, status.complete) == (2, True)
    assert house.progress.tasks[-1].done == 3


def test_a_shard_of_blank_texts_alone_is_complete(build: BuildHouse) -> None:
    house = build({"train": [("", None)] * 4 + [("joy", None)]})
    extraction = house.extract({"a": CountingEncoder()}, shard_rows=4, on_empty="quarantine")
    assert extraction.sets["a"][0].status.durable_rows == 1
    assert extraction.sets["a"][0].status.complete


@pytest.mark.parametrize("silent", [False, True])
def test_a_row_without_finite_numbers_is_quarantined_whether_or_not_the_encoder_says_so(
    build: BuildHouse, silent: bool
) -> None:
    house = build({"train": [("joy", "joy"), ("FAIL", "joy"), ("fear", "fear")]})
    extraction = house.extract({"a": FailingEncoder(silent=silent), "b": CountingEncoder()})
    status = extraction.sets["a"][0].status
    assert [(one.row, one.reason) for one in status.quarantined] == [(1, "not finite in any precision tried")]
    assert status.complete


def test_a_row_that_failed_for_a_reason_is_quarantined_for_that_reason(build: BuildHouse) -> None:
    house = build({"train": [("", "joy"), ("joy", "joy"), ("FAIL", "joy")]})
    extraction = house.extract({"a": FailingEncoder(reason="too long")}, on_empty="quarantine")
    quarantined = extraction.sets["a"][0].status.quarantined
    assert [(one.row, one.reason) for one in quarantined] == [(0, "blank text"), (2, "too long")]


def test_rows_that_any_encoder_lacks_are_left_out_of_every_source(
    build: BuildHouse, caplog: pytest.LogCaptureFixture
) -> None:
    house = build({"train": [("joy", "joy"), ("FAIL", "grief"), ("fear", "fear")]})
    extraction = house.extract({"a": FailingEncoder(), "b": CountingEncoder()})
    with caplog.at_level(logging.WARNING):
        split = house.gather(extraction, "train")
    assert (list(split.rows), split.labels, split.left_out) == ([0, 2], ["joy", "fear"], 1)
    assert [len(np.asarray(source)) for source in split.sources.values()] == [2, 2]
    expected = CountingEncoder().encode(["joy", "fear"], ExecutionPlan()).embeddings
    np.testing.assert_array_equal(split.sources["b"], expected)
    assert "train: 1 quarantined rows are left out" in caplog.text


def test_a_partial_run_never_counts_as_complete(build: BuildHouse) -> None:
    for how in ({"limit": 3}, {"limit": 1000}, {"splits": ["test"]}):
        extraction = build(SPLITS).extract({"a": CountingEncoder()}, **how)
        assert extraction.partial
        assert all(one.status.complete for one in extraction.sets["a"])
        house = build(SPLITS)
        again = house.extract({"a": CountingEncoder()}, **how)
        assert not ReportStatus(house.store)(again.inventory).complete


def test_a_limit_takes_the_first_rows_of_each_split(build: BuildHouse) -> None:
    encoder = CountingEncoder()
    extraction = build(SPLITS).extract({"a": encoder}, limit=2)
    assert encoder.encoded == [text for split in ("train", "test") for text, _ in SPLITS[split][:2]]
    assert extraction.rows == 4


def test_a_limit_beyond_any_dataset_takes_every_row(build: BuildHouse) -> None:
    extraction = build(SPLITS).extract({"a": CountingEncoder()}, limit=10**30)

    assert extraction.sets["a"][0].status.rows == len(SPLITS["train"])


@pytest.mark.parametrize(
    "torn", [[1], {"encoders": {"a": {}}}, {"encoders": 3}, {"encoders": {"a": {"sets": {"x": 1}}}}]
)
def test_an_inventory_that_is_none_is_written_anew(build: BuildHouse, torn: Any) -> None:
    house = build(SPLITS)
    house.extract({"a": CountingEncoder()})
    house.runs.write_document("embeddings.json", torn)

    extraction = house.extract({"a": CountingEncoder()})

    assert house.runs.read_document("embeddings.json") == extraction.inventory


def test_the_whole_run_after_a_partial_one_is_complete(build: BuildHouse) -> None:
    house = build(SPLITS)
    house.extract({"a": CountingEncoder()}, limit=2)
    assert ReportStatus(house.store)(house.extract({"a": CountingEncoder()}).inventory).complete


def test_a_split_that_is_not_there_is_named_with_those_that_are(build: BuildHouse) -> None:
    with pytest.raises(UsageError, match=r"split 'dev': the dataset has train, test"):
        build(SPLITS).extract({"a": CountingEncoder()}, splits=["dev"])


def test_an_empty_split_is_an_error(build: BuildHouse) -> None:
    with pytest.raises(DatasetError, match="split 'test' has no rows"):
        build({"train": examples(2, 0), "test": []}).extract({"a": CountingEncoder()})


def test_texts_that_stand_in_two_splits_are_counted_once_each(build: BuildHouse) -> None:
    splits = {"train": [("x", "a"), ("y", "b"), ("x", "a")], "test": [("x", "a"), ("z", "b")]}
    shared = build(splits).extract({"a": CountingEncoder()}).shared
    assert dict(shared.counts) == {("train", "test"): 1}
    assert list(shared.train_rows) == [0, 2]


def test_another_text_encoder_or_order_is_another_set_and_the_same_is_the_same(build: BuildHouse) -> None:
    house = build(SPLITS)

    def keys(encoder: CountingEncoder, splits: dict[str, list[tuple[str, str | None]]]) -> list[str]:
        house.splits = splits
        return [one.key for one in house.extract({"a": encoder}).sets["a"]]

    first = keys(CountingEncoder(), SPLITS)
    assert keys(CountingEncoder(), SPLITS) == first
    assert set(keys(CountingEncoder(name="b"), SPLITS)).isdisjoint(first)
    reordered = {"train": SPLITS["train"][::-1], "test": SPLITS["test"]}
    assert keys(CountingEncoder(), reordered)[0] != first[0]
    assert keys(CountingEncoder(), reordered)[1] == first[1]


def test_a_resumed_set_keeps_its_own_shards_and_plan(build: BuildHouse) -> None:
    house = build(SPLITS)
    with pytest.raises(UpstreamError):
        house.extract({"a": TiredEncoder(1)}, shard_rows=4)
    extraction = house.extract({"a": CountingEncoder(batch_tokens=7)}, shard_rows=100)
    headers = [_header(house.store.read(one.key)) for one in extraction.sets["a"]]
    assert headers == [(4, 1024), (100, 7)]


def _header(stored: object) -> tuple[int, int]:
    header = stored.header  # type: ignore[attr-defined]  # a stored set
    return header.shard_rows, header.plan.batch_tokens


def test_speeds_and_tokens_are_those_of_this_run(build: BuildHouse) -> None:
    extraction = build(SPLITS).extract({"a": CountingEncoder()})
    one: ExtractedSet = extraction.sets["a"][0]
    assert (one.effort.rows, one.effort.tokens, one.effort.padded_tokens) == (10, 30, 30)
    assert one.effort.seconds > 0


def test_the_inventory_adds_up_the_time_of_every_run_on_a_set(build: BuildHouse) -> None:
    house = build({"train": examples(9, 1)})
    spent = []
    for run in range(2):
        extraction = house.extract({"a": CountingEncoder(), "b": CountingEncoder(name=str(run))})
        spent.append(deepcopy(extraction.inventory["encoders"]))
    kept, first, second = (place["sets"]["train"] for place in (spent[1]["a"], spent[0]["b"], spent[1]["b"]))
    assert kept["encoded_rows"] == first["encoded_rows"] == second["encoded_rows"] == 9
    assert kept["seconds"] == spent[0]["a"]["sets"]["train"]["seconds"] > 0


def test_the_time_of_an_interrupted_run_is_not_counted_and_neither_are_its_rows(build: BuildHouse) -> None:
    house = build({"train": examples(9, 1)})
    with pytest.raises(UpstreamError):
        house.extract({"a": TiredEncoder(1)}, shard_rows=4)
    extraction = house.extract({"a": CountingEncoder()}, shard_rows=4)
    assert extraction.inventory["encoders"]["a"]["sets"]["train"]["encoded_rows"] == 5


def test_truncated_texts_are_counted(build: BuildHouse) -> None:
    encoder = CountingEncoder(max_length=2)
    assert build(SPLITS).extract({"a": encoder}).sets["a"][0].status.truncated == 10


def test_a_plan_counts_what_is_missing_and_encodes_nothing(build: BuildHouse) -> None:
    house = build(SPLITS)
    with pytest.raises(UpstreamError):
        house.extract({"a": TiredEncoder(1)}, shard_rows=4)
    encoder = CountingEncoder(layers=2, dim=8)
    train, test = PlanExtraction(house.read, house.store)({"a": encoder}, shard_rows=4)
    assert encoder.encoded == []
    assert (train.texts, train.missing_texts, train.shards, train.tokens) == (10, 6, 3, 18)
    assert (test.missing_texts, test.disk_bytes) == (6, 6 * 2 * 8 * 4)


def test_a_plan_says_how_long_the_texts_are_and_how_many_are_cut(build: BuildHouse) -> None:
    words = [1, 2, 3, 4, 5, 6, 7, 8, 9, 30]
    house = build({"train": [("rain " * count, "joy") for count in words]})
    encoder = CountingEncoder(max_length=8)
    (planned,) = PlanExtraction(house.read, house.store)({"a": encoder}, shard_rows=4)
    lengths = planned.lengths
    assert (lengths.minimum, lengths.median, lengths.p90, lengths.p95, lengths.maximum) == (1, 5, 9, 30, 30)
    assert (lengths.mean, lengths.truncated) == (7.5, 0.2)
    assert planned.batch_tokens == encoder.plan(10).batch_tokens


def test_a_plan_counts_every_text_once_a_part_at_a_time(
    build: BuildHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    class Asked(CountingEncoder):
        def count_tokens(self, texts: Sequence[str]) -> Sequence[int]:
            assert len(texts) <= 3
            asked.extend(texts)
            return super().count_tokens(texts)

    monkeypatch.setattr(plan_extraction, "STEP", 3)
    house = build({"train": examples(10, 1)})
    PlanExtraction(house.read, house.store)({"a": Asked()}, shard_rows=4)
    assert asked == house.spool.read("train").texts(0, 10)


def test_the_inventory_stands_before_the_first_shard(build: BuildHouse) -> None:
    house = build(SPLITS)
    with pytest.raises(UpstreamError):
        house.extract({"a": TiredEncoder(0)})
    inventory = house.runs.read_document("embeddings.json")
    assert inventory is not None
    assert inventory["splits"]["train"]["rows"] == 10
    status = ReportStatus(house.store)(inventory)
    assert (status.encoders["a"].durable_rows, status.complete) == (0, False)


def test_verifying_a_run_looks_at_its_own_sets_and_a_root_at_all(build: BuildHouse) -> None:
    house = build(SPLITS)
    house.extract({"b": CountingEncoder(name="b")})
    other = house.store.keys()[0]
    inventory = house.extract({"a": CountingEncoder(name="a")}).inventory
    house.store.damage(other, 0)
    verify = VerifyEmbeddings(house.store)
    assert verify(inventory) == []
    assert [problem.file for problem in verify(None)] == [f"{other}/0"]


def test_a_set_that_is_gone_after_it_was_complete_is_a_problem(build: BuildHouse) -> None:
    house = build(SPLITS)
    extraction = house.extract({"a": CountingEncoder()})
    key = extraction.sets["a"][0].key
    del house.store.sets[key]
    (problem,) = VerifyEmbeddings(house.store)(extraction.inventory)
    assert key in problem.file
    with pytest.raises(CorruptArtifactError, match=r"of 'a' are gone; run `fusionapp extract` again"):
        house.gather(extraction, "train")


def test_a_set_that_was_never_begun_is_incomplete_and_not_corrupt(build: BuildHouse) -> None:
    house = build(SPLITS)
    with pytest.raises(UpstreamError):
        house.extract({"a": TiredEncoder(0)})
    house.store.sets.clear()
    inventory = house.runs.read_document("embeddings.json")
    assert VerifyEmbeddings(house.store)(inventory) == []

"""Vectors that were made elsewhere stand in the store as if they had been extracted."""

from __future__ import annotations

import numpy as np
import pytest
from fakes.encoders import CountingEncoder
from fakes.house import BuildHouse, examples
from fakes.imports import MemoryImport, matrix

from fusionapp.application.services.plan_extraction import PlanExtraction
from fusionapp.application.services.report_status import ReportStatus
from fusionapp.domain.errors import UsageError

SPLITS = {"train": examples(10, 1), "test": examples(6, 2)}


def test_every_row_stands_beside_its_text_and_nothing_is_encoded(build: BuildHouse) -> None:
    house, imported = build(SPLITS), MemoryImport(train=matrix(10), test=matrix(6, 1))
    extraction = house.extract({"a": imported, "b": CountingEncoder()}, shard_rows=4)
    for split, rows in (("train", matrix(10)), ("test", matrix(6, 1))):
        gathered = house.gather(extraction, split)
        np.testing.assert_array_equal(gathered.sources["a"], rows)
        assert len(gathered.sources["b"]) == len(rows)
    assert imported.calls == 0
    assert ReportStatus(house.store)(extraction.inventory).complete


def test_what_is_stored_is_not_read_again(build: BuildHouse) -> None:
    house = build(SPLITS)
    house.extract({"a": MemoryImport(train=matrix(10), test=matrix(6, 1))}, shard_rows=4)
    again = MemoryImport(train=matrix(10), test=matrix(6, 1))
    house.extract({"a": again}, shard_rows=4)
    assert [vectors.ranges for vectors in again.splits.values()] == [[], []]


def test_one_split_is_imported_for_an_experiment_that_has_both(build: BuildHouse) -> None:
    house = build(SPLITS)
    house.extract({"a": MemoryImport(train=matrix(10))}, splits=["train"])
    both = MemoryImport(train=matrix(10), test=matrix(6, 1))
    house.extract({"a": both})
    assert both.splits["train"].ranges == []
    assert both.splits["test"].ranges != []


@pytest.mark.parametrize("rows", [9, 11])
def test_another_number_of_rows_than_of_texts_is_refused_before_anything_is_stored(
    build: BuildHouse, rows: int
) -> None:
    house = build(SPLITS)
    with pytest.raises(UsageError, match=f"memory test: {rows} rows for encoder 'a', and test has 6 texts"):
        house.extract({"a": MemoryImport(train=matrix(10), test=matrix(rows))})
    assert house.store.sets == {}


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_number_that_is_not_finite_is_named_by_file_and_row(build: BuildHouse, value: float) -> None:
    house, broken = build(SPLITS), matrix(10)
    broken[7, 1, 2] = value
    with pytest.raises(
        UsageError, match=r"memory train: row 7 \(counted from 0\) holds a number that is not"
    ):
        house.extract({"a": MemoryImport(train=broken, test=matrix(6))}, shard_rows=4)


def test_a_split_without_a_matrix_is_an_error(build: BuildHouse) -> None:
    with pytest.raises(UsageError, match="no matrix for split 'test'"):
        build(SPLITS).extract({"a": MemoryImport(train=matrix(10))})


def test_a_plan_counts_the_rows_that_are_not_stored_yet(build: BuildHouse) -> None:
    house, imported = build(SPLITS), MemoryImport(train=matrix(10), test=matrix(6, 1))
    house.extract({"a": MemoryImport(train=matrix(10))}, splits=["train"])
    planned = PlanExtraction(house.read, house.store)({"a": imported}, 4)
    assert [one.missing_texts for one in planned] == [0, 6]

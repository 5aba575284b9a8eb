"""Classes, training rows and validation rows come out of labelled splits, or an error that says where."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from fakes.encoders import CountingEncoder
from fakes.house import BuildHouse, Splits, examples

from fusionapp.application.services.gather_embeddings import SplitEmbeddings
from fusionapp.application.services.prepare_classification import (
    ClassificationData,
    PrepareClassification,
    encode_labels,
    order_classes,
)
from fusionapp.domain.errors import DatasetError

PREPARE = PrepareClassification(validation_fraction=0.25, seed=3, label_column="emotion")
NOTHING = np.empty(0, dtype=np.int64)


def gathered(build: BuildHouse, splits: Splits) -> dict[str, SplitEmbeddings]:
    house = build(splits)
    extraction = house.extract({"a": CountingEncoder()})
    return {split: house.gather(extraction, split) for split in splits}


def prepared(build: BuildHouse, splits: Splits) -> ClassificationData:
    found = gathered(build, splits)
    return PREPARE(found["train"], found.get("validation"), NOTHING)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["10", "9", "-1", "9"], ["-1", "9", "10"]),
        (["1", "02", "01", "2"], ["01", "1", "02", "2"]),
        (["b", "a", "b"], ["a", "b"]),
        (["10", "9", "x"], ["10", "9", "x"]),
    ],
)
def test_classes_stand_by_number_where_all_are_whole_numbers_and_else_by_code_point(
    labels: list[str], classes: list[str]
) -> None:
    assert order_classes(labels) == classes


@pytest.mark.parametrize("labels", [["joy", "joy"], []])
def test_one_class_alone_cannot_be_trained_on(labels: list[str]) -> None:
    with pytest.raises(DatasetError, match=r"one class alone \((joy|none)\); two are needed"):
        order_classes(labels)


def test_validation_is_a_stratified_part_of_train_where_there_is_no_such_split(build: BuildHouse) -> None:
    train = [
        (f"{label} {row}", label) for label, rows in (("a", 40), ("b", 20), ("c", 1)) for row in range(rows)
    ]
    data = prepared(build, {"train": train})
    assert Counter(data.validation.labels.tolist()) == {0: 10, 1: 5}
    assert Counter(data.train.labels.tolist()) == {0: 30, 1: 15, 2: 1}
    assert data.validation_split == "train"
    labels = [data.classes.index(str(train[row][1])) for row in data.validation_rows]
    assert labels == data.validation.labels.tolist()


def test_no_row_is_trained_on_and_chosen_by(build: BuildHouse) -> None:
    data = prepared(build, {"train": examples(20, 1)})
    train, validation = (np.asarray(part.sources["a"]) for part in (data.train, data.validation))
    assert len(train) + len(validation) == 20
    assert not (train[:, None] == validation[None]).all(axis=(-1, -2)).any()


def test_a_validation_split_is_taken_as_it_is(build: BuildHouse) -> None:
    data = prepared(build, {"train": examples(12, 1), "validation": examples(5, 2)})
    assert (len(data.train.labels), len(data.validation.labels)) == (12, 5)
    assert data.validation_split == "validation"
    assert list(data.validation_rows) == [0, 1, 2, 3, 4]


def test_excluded_rows_are_in_neither_part(build: BuildHouse) -> None:
    found = gathered(build, {"train": examples(12, 1)})["train"]
    data = PREPARE(found, None, np.array([0, 5]))
    assert len(data.train.labels) + len(data.validation.labels) == 10
    assert not {0, 5} & set(data.validation_rows.tolist())


def test_a_class_that_stands_in_excluded_rows_alone_is_no_class(build: BuildHouse) -> None:
    train = [("x", "rare"), *((f"{label} {row}", label) for label in "ab" for row in range(6))]
    found = gathered(build, {"train": train})["train"]
    with pytest.raises(DatasetError, match="'rare' does not occur in train"):
        encode_labels(found, order_classes([str(label) for label in found.labels[1:]]), "emotion")
    data = PREPARE(found, None, np.array([0]))
    assert data.classes == ["a", "b"]


def test_a_test_label_that_train_lacks_is_named_with_its_place(build: BuildHouse) -> None:
    found = gathered(build, {"train": examples(12, 1), "test": [("joy", "joy"), ("x", "envy")]})["test"]
    with pytest.raises(
        DatasetError,
        match=r"memory \(test\), row 1 \(counted from 0\), column 'emotion': label 'envy' does not occur in train",
    ):
        encode_labels(found, ["fear", "joy"], "emotion")


def test_a_row_without_a_label_is_named_with_its_place(build: BuildHouse) -> None:
    with pytest.raises(
        DatasetError, match=r"\(train\), row 2 \(counted from 0\), column 'emotion': no label"
    ):
        prepared(build, {"train": [("x", "a"), ("y", "b"), ("z", None)]})


def test_classes_of_one_row_each_leave_nothing_for_validation(build: BuildHouse) -> None:
    with pytest.raises(ValueError, match="name a validation split"):
        prepared(build, {"train": [("x", "a"), ("y", "b")]})

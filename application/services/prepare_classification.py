"""From labelled splits to what a head trains on: classes, train rows, validation rows."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.heads import LabelledEmbeddings
from fusionapp.application.services.gather_embeddings import SplitEmbeddings
from fusionapp.domain.columns import Place
from fusionapp.domain.embeddings import take_rows
from fusionapp.domain.errors import DatasetError
from fusionapp.domain.splitting import stratified_validation


@attrs.frozen(eq=False)
class ClassificationData:
    """What heads and controls are trained on and chosen by.

    Attributes:
        classes: labels as printed, in the order of class indices.
        train: rows that are trained on.
        validation: rows that training stops and chooses on.
        train_rows: (rows,) row numbers of the train rows in the train split.
        validation_rows: (rows,) dataset row numbers of the validation rows.
        validation_split: the split that they are from.
    """

    classes: Sequence[str]
    train: LabelledEmbeddings
    validation: LabelledEmbeddings
    train_rows: NDArray[np.int64]
    validation_rows: NDArray[np.int64]
    validation_split: str


@attrs.frozen
class PrepareClassification:
    """Names the classes and sets validation aside.

    Attributes:
        validation_fraction: part of train that becomes validation where there is no such split.
        seed: of that choice.
        label_column: for messages.
    """

    validation_fraction: float
    seed: int
    label_column: str

    def __call__(
        self, train: SplitEmbeddings, validation: SplitEmbeddings | None, excluded: NDArray[np.int64]
    ) -> ClassificationData:
        """Encode labels, drop excluded train rows, and split validation off where it is not given.

        Args:
            train: the training split.
            validation: the validation split, or None.
            excluded: dataset row numbers of train texts that stand in another split and are dropped.

        Raises:
            DatasetError: a row has no label, one class alone is left, or validation has a class that train lacks.
        """
        train = exclude_rows(train, excluded)
        classes = order_classes(_labels(train, self.label_column))
        labels = encode_labels(train, classes, self.label_column)
        if validation is not None:
            return ClassificationData(
                classes=classes,
                train=LabelledEmbeddings(train.sources, labels),
                validation=LabelledEmbeddings(
                    validation.sources, encode_labels(validation, classes, self.label_column)
                ),
                train_rows=train.rows,
                validation_rows=validation.rows,
                validation_split=validation.split,
            )
        inner_train, inner_validation = stratified_validation(labels, self.validation_fraction, self.seed)
        if not len(inner_validation):
            raise DatasetError("train is too small to set validation rows aside; name a validation split")
        return ClassificationData(
            classes=classes,
            train=_select(train, labels, inner_train),
            validation=_select(train, labels, inner_validation),
            train_rows=train.rows[inner_train],
            validation_rows=train.rows[inner_validation],
            validation_split=train.split,
        )


def order_classes(labels: Sequence[str]) -> list[str]:
    """Distinct labels, by number where all are whole numbers, else by code point.

    Raises:
        DatasetError: there are fewer than two.
    """
    distinct = set(labels)
    if len(distinct) < 2:
        raise DatasetError(f"train has one class alone ({next(iter(distinct), 'none')}); two are needed")
    if all(label.removeprefix("-").isdecimal() for label in distinct):
        return sorted(distinct, key=lambda label: (int(label), label))  # "01" and "1" are two classes
    return sorted(distinct)


def encode_labels(split: SplitEmbeddings, classes: Sequence[str], column: str) -> NDArray[np.int64]:
    """(rows,) class indices.

    Raises:
        DatasetError: a row has no label, or one that is not among the classes.
    """
    index = {label: position for position, label in enumerate(classes)}
    labels = _labels(split, column)
    for row, label in zip(split.rows, labels, strict=True):
        if label not in index:
            raise Place(split.origin, int(row)).error(
                f"label {label!r} does not occur in train; add training rows of that class or remove the row",
                column,
            )
    return np.array([index[label] for label in labels], dtype=np.int64)


def _labels(split: SplitEmbeddings, column: str) -> list[str]:
    named = []
    for row, label in zip(split.rows, split.labels, strict=True):
        if label is None:
            raise Place(split.origin, int(row)).error("no label; training and evaluation need one", column)
        named.append(label)
    return named


def exclude_rows(split: SplitEmbeddings, excluded: NDArray[np.int64]) -> SplitEmbeddings:
    """A split without some of its dataset rows."""
    kept = np.flatnonzero(~np.isin(split.rows, excluded)).astype(np.int64)
    if len(kept) == len(split.rows):
        return split
    return attrs.evolve(
        split,
        rows=split.rows[kept],
        labels=[split.labels[int(row)] for row in kept],
        ids=[split.ids[int(row)] for row in kept],
        sources={name: take_rows(embeddings, kept) for name, embeddings in split.sources.items()},
    )


def _select(split: SplitEmbeddings, labels: NDArray[np.int64], rows: NDArray[np.int64]) -> LabelledEmbeddings:
    return LabelledEmbeddings(
        {name: take_rows(embeddings, rows) for name, embeddings in split.sources.items()}, labels[rows]
    )

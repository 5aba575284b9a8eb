"""From stored embeddings to the rounds of a protocol: k folds, or few-shot draws."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.heads import LabelledEmbeddings
from fusionapp.application.services.gather_embeddings import SplitEmbeddings
from fusionapp.application.services.prepare_classification import (
    ClassificationData,
    encode_labels,
    order_classes,
)
from fusionapp.domain.embeddings import stack_rows, take_rows
from fusionapp.domain.errors import DatasetError, UsageError
from fusionapp.domain.rounds import RoundRows, fold_rounds, shot_rounds

logger = logging.getLogger(__name__)

Rows = NDArray[np.int64]


@attrs.frozen(eq=False)
class Round:
    """One fold or draw.

    Attributes:
        rows: which rows of the pool it takes.
        data: what is trained on and chosen by.
        test: what is scored.
    """

    rows: RoundRows
    data: ClassificationData
    test: SplitEmbeddings


@attrs.frozen(eq=False)
class Pool:
    """Labelled rows that rounds are dealt from.

    Attributes:
        split: the rows; those of several splits stand under one another and are numbered through.
        texts: (rows,) alike for rows of the same text.
    """

    split: SplitEmbeddings
    texts: Rows


@attrs.frozen
class DealRounds:
    """Deals a protocol's rounds, one at a time, so that one copy of the rows is held.

    Attributes:
        folds: k of k-fold cross-validation, or None.
        shots: rows a class of few-shot learning, or None.
        draws: few-shot draws.
        validation_fraction: part of a round's own rows that it is stopped and chosen by.
        seed: of folds and draws.
        label_column: for messages.
    """

    folds: int | None
    shots: int | None
    draws: int
    validation_fraction: float
    seed: int
    label_column: str

    def __call__(self, pool: Pool, test: SplitEmbeddings | None) -> Iterator[Round]:
        """The rounds in order.

        Args:
            pool: rows to deal.
            test: the split that every draw is scored on; not looked at for folds, which score each other.

        Raises:
            UsageError: draws without a test split, or too few rows for the folds.
            DatasetError: a row has no label, or one class alone is there.
        """
        labels = [label for label in pool.split.labels if label is not None]
        classes = order_classes(labels)
        encoded = encode_labels(pool.split, classes, self.label_column)
        for rows in self._rows(pool, encoded, classes):
            if self.folds is None and test is None:
                raise UsageError("dataset.shots: the dataset has no test split, which draws are scored on")
            if not len(rows.validation):
                raise DatasetError(f"{rows.name}: no class has a row to choose by; add rows")
            scored = test if self.folds is None and test is not None else select_rows(pool.split, rows.test)
            data = ClassificationData(
                classes=classes,
                train=_labelled(pool.split, encoded, rows.train),
                validation=_labelled(pool.split, encoded, rows.validation),
                train_rows=pool.split.rows[rows.train],
                validation_rows=pool.split.rows[rows.validation],
                validation_split=pool.split.split,
            )
            yield Round(rows, data, scored)

    def _rows(self, pool: Pool, labels: Rows, classes: Sequence[str]) -> Iterator[RoundRows]:
        if self.folds is not None:
            return fold_rounds(labels, pool.texts, self.folds, self.validation_fraction, self.seed)
        assert self.shots is not None, "one of the two is set"
        counts = Counter(labels[np.unique(pool.texts, return_index=True)[1]].tolist())
        short = {classes[one]: count for one, count in sorted(counts.items()) if count < self.shots}
        if short:
            logger.warning(
                "fewer than %d distinct texts in %d of %d classes, which give all they have: %s",
                self.shots,
                len(short),
                len(classes),
                ", ".join(f"{name} {count}" for name, count in list(short.items())[:10]),
            )
        return shot_rounds(labels, pool.texts, self.shots, self.draws, self.validation_fraction, self.seed)


def stack_splits(splits: Sequence[SplitEmbeddings], starts: Sequence[int] | Rows) -> SplitEmbeddings:
    """Several splits under one another; rows of the i-th are numbered from starts[i] on."""
    if len(splits) == 1:
        return splits[0]
    return SplitEmbeddings(
        split=" + ".join(one.split for one in splits),
        origin=", ".join(one.origin for one in splits),
        rows=np.concatenate([one.rows + start for one, start in zip(splits, starts, strict=True)]),
        labels=[label for one in splits for label in one.labels],
        ids=[{"split": one.split, **value} for one in splits for value in one.ids],
        sources={name: stack_rows([one.sources[name] for one in splits]) for name in splits[0].sources},
        left_out=sum(one.left_out for one in splits),
    )


def select_rows(split: SplitEmbeddings, places: Rows, name: str = "test") -> SplitEmbeddings:
    """Some rows of a split, by their place in it, under another name; quarantined rows stay with the whole."""
    return SplitEmbeddings(
        split=name,
        origin=split.origin,
        rows=split.rows[places],
        labels=[split.labels[int(place)] for place in places],
        ids=[split.ids[int(place)] for place in places],
        sources={source: take_rows(values, places) for source, values in split.sources.items()},
        left_out=0,
    )


def _labelled(split: SplitEmbeddings, labels: Rows, places: Rows) -> LabelledEmbeddings:
    return LabelledEmbeddings(
        {name: take_rows(values, places) for name, values in split.sources.items()}, labels[places]
    )

"""Pairs of queries and documents through the `datasets` library."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from os import PathLike

from fusionapp.adapters.hub_datasets.loading import load_hub
from fusionapp.adapters.hub_datasets.splits import HubLoader, HubSplits, class_name
from fusionapp.application.ports.pair_source import PairSource
from fusionapp.domain.retrieval.pair_columns import PairLayout
from fusionapp.domain.retrieval.pairs import Document, Pair
from fusionapp.domain.splits import check_limit


class HubPairSource(PairSource):
    """Splits of a directory that ``DatasetDict.save_to_disk`` wrote, or of a dataset of the hub by name.

    Where it is looked for is as in `HubDatasetSource`. A ClassLabel column gives names.
    """

    def __init__(
        self,
        name: str | PathLike[str],
        columns: PairLayout,
        *,
        limit: int | None = None,
        splits: Mapping[str, str] | None = None,
        config: str | None = None,
        revision: str | None = None,
        data_dir: str | PathLike[str] | None = None,
        load: HubLoader = load_hub,
    ) -> None:
        """Take the settings of ``[dataset]``: `columns` of `pair_layout`, the rest as of `HubDatasetSource`.

        Raises:
            UsageError: a limit below 1.
        """
        check_limit(limit)
        self._layout = columns
        self._limit = limit
        self._hub = HubSplits(name, splits, config, revision, data_dir, load)

    def splits(self) -> Sequence[str]:
        """The dataset's splits, in the order train, validation, test, others."""
        return self._hub.names()

    def describe(self, split: str) -> str:
        """The directory or hub name, and the split as it is called there."""
        return self._hub.describe(split)

    def read(self, split: str) -> Iterator[Pair]:
        """Pairs of a split in its order.

        Raises:
            DatasetError: a missing split, column, text or id; names row and column.
            UpstreamError: the hub cannot be reached, or has no such dataset.
        """
        return islice(self._read(split), self._limit)

    def corpus(self, split: str) -> Iterator[Document]:
        """No document beside those of the pairs."""
        self._hub.describe(split)
        return iter(())

    def _read(self, split: str) -> Iterator[Pair]:
        named: dict[str, Sequence[str]] = {}
        for place, values in self._hub.rows(split, self._layout):
            if place.row == 0:
                asked = (column for column in (self._layout.topic, self._layout.label) if column is not None)
                named = {column: names for column in asked if (names := self._hub.classes(split, column))}
            for column, names in named.items():
                values[column] = class_name(names, values[column])
            yield self._layout.pair(values, place)

"""The dataset source over the `datasets` library."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from os import PathLike

from fusionapp.adapters.hub_datasets.loading import load_hub
from fusionapp.adapters.hub_datasets.splits import HubLoader, HubSplits, class_name
from fusionapp.application.ports.dataset_source import DatasetSource
from fusionapp.domain.columns import layout
from fusionapp.domain.examples import Example
from fusionapp.domain.splits import check_limit


class HubDatasetSource(DatasetSource):
    """A directory that ``DatasetDict.save_to_disk`` wrote, or a dataset of the hub by name.

    A local directory goes first, then ``data_dir/name`` (so that "r52" is DATA_DIR/r52), then the hub. A
    ClassLabel column prints its names. Nothing is loaded before the first question.
    """

    def __init__(
        self,
        name: str | PathLike[str],
        text: str | Iterable[str] = "text",
        label: str | None = "label",
        *,
        id: str | Iterable[str] | None = None,
        template: str | None = None,
        class_names: Mapping[str | int, str] | Sequence[str] | None = None,
        limit: int | None = None,
        splits: Mapping[str, str] | None = None,
        config: str | None = None,
        revision: str | None = None,
        data_dir: str | PathLike[str] | None = None,
        load: HubLoader = load_hub,
    ) -> None:
        """Take the settings of ``[dataset]``.

        Args:
            name: a directory, a folder of `data_dir`, or a hub name such as "ag_news".
            text: the text column, or several that `template` joins (default: one a line).
            label: the label's column; None for texts without labels.
            id: columns that travel into every output; default the row number, counted from 0.
            template: such as ``"{title}. {abstract}"``.
            class_names: names of the labels, in place of a ClassLabel's own.
            limit: read only this many rows of each split.
            splits: our name of a split to the dataset's; default all, "valid", "val" or "dev" as validation.
            config: which of a hub dataset's configurations.
            revision: a commit, tag or branch of a hub dataset.
            data_dir: where datasets stand as folders by name.
            load: how a hub name is loaded.

        Raises:
            UsageError: settings that make no sense.
        """
        check_limit(limit)
        self._layout = layout(text, label, id, template, class_names)
        self._limit = limit
        self._hub = HubSplits(name, splits, config, revision, data_dir, load)

    def splits(self) -> Sequence[str]:
        """The dataset's splits, in the order train, validation, test, others."""
        return self._hub.names()

    def describe(self, split: str) -> str:
        """The directory or hub name, and the split as it is called there."""
        return self._hub.describe(split)

    def read(self, split: str) -> Iterator[Example]:
        """Examples of a split in its order.

        Raises:
            DatasetError: a missing split, column, text or label; names row and column.
            UpstreamError: the hub cannot be reached, or has no such dataset.
        """
        return islice(self._read(split), self._limit)

    def _read(self, split: str) -> Iterator[Example]:
        label, classes = self._layout.label, None
        for place, values in self._hub.rows(split, self._layout):
            if place.row == 0 and not self._layout.class_names:  # unless the experiment names them itself
                classes = self._hub.classes(split, label)
            if classes is not None and label is not None:
                values[label] = class_name(classes, values[label])
            yield self._layout.example(values, place)

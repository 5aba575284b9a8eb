"""The dataset source over the `datasets` library."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from os import PathLike, fspath
from pathlib import Path
from typing import Any, TypeAlias

from fusionapp.adapters.hub_datasets.loading import load_directory, load_hub
from fusionapp.application.ports.dataset_source import DatasetSource
from fusionapp.domain.columns import Place, layout
from fusionapp.domain.errors import DatasetError, UsageError
from fusionapp.domain.examples import Example
from fusionapp.domain.splits import order_splits, unknown_split

HubLoader: TypeAlias = Callable[[str, str | None, str | None], Mapping[str, Any]]
"""(name, config, revision) to the dataset of each split."""

_VALIDATION_NAMES = ("valid", "val", "dev")
_BATCH_ROWS = 1024


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
        if limit is not None and limit < 1:
            raise UsageError(f"dataset.limit: expected at least 1, got {limit}")
        self._layout = layout(text, label, id, template, class_names)
        self._name = fspath(name)
        self._limit = limit
        self._names = splits
        self._config = config
        self._revision = revision
        self._data_dir = None if data_dir is None else Path(data_dir).expanduser()
        self._load = load

    def splits(self) -> Sequence[str]:
        """The dataset's splits, in the order train, validation, test, others."""
        return order_splits(self._mapping)

    def describe(self, split: str) -> str:
        """The directory or hub name, and the split as it is called there."""
        return f"{self._where}, split {self._theirs(split)!r}"

    def read(self, split: str) -> Iterator[Example]:
        """Examples of a split in its order.

        Raises:
            DatasetError: a missing split, column, text or label; names row and column.
            UpstreamError: the hub cannot be reached, or has no such dataset.
        """
        return islice(self._read(split), self._limit)

    def _read(self, split: str) -> Iterator[Example]:
        where = self.describe(split)
        dataset = self._loaded[self._theirs(split)]
        self._layout.check(dataset.column_names, Place(where))
        classes = self._class_labels(dataset)
        batches = dataset.select_columns(list(self._layout.columns)).with_format("arrow")
        row = 0
        for batch in batches.iter(_BATCH_ROWS):
            for values in _rows(batch, where, row):
                if classes is not None and self._layout.label is not None:
                    values[self._layout.label] = _class_name(classes, values[self._layout.label])
                yield self._layout.example(values, Place(where, row))
                row += 1

    def _class_labels(self, dataset: Any) -> Sequence[str] | None:
        """Names of a ClassLabel column, unless the experiment names the classes itself."""
        if self._layout.label is None or self._layout.class_names:
            return None
        return getattr(dataset.features[self._layout.label], "names", None)

    def _theirs(self, split: str) -> str:
        if split not in self._mapping:
            raise unknown_split(split, self.splits(), self._where)
        return self._mapping[split]

    @cached_property
    def _directory(self) -> Path | None:
        direct = Path(self._name).expanduser()
        if direct.is_dir() or direct.is_absolute():
            return direct
        # Names do not climb out of data_dir.
        if self._data_dir is not None and ".." not in direct.parts and (self._data_dir / direct).is_dir():
            return self._data_dir / direct
        return None

    @property
    def _where(self) -> str:
        if self._directory is not None:
            return str(self._directory)
        details = "".join(f", {key} {value!r}" for key, value in self._details if value)
        return f"dataset {self._name!r} of the hub{details}"

    @property
    def _details(self) -> tuple[tuple[str, str | None], ...]:
        return (("config", self._config), ("revision", self._revision))

    @cached_property
    def _loaded(self) -> Mapping[str, Any]:
        if self._directory is not None:
            return load_directory(self._directory)
        return self._load(self._name, self._config, self._revision)

    @cached_property
    def _mapping(self) -> Mapping[str, str]:
        """Our names of splits to the dataset's."""
        there = list(self._loaded)
        if self._names is not None:
            for theirs in self._names.values():
                if theirs not in there:
                    raise unknown_split(theirs, there, self._where)
            return dict(self._names)
        if "validation" not in there:
            found = next((name for name in _VALIDATION_NAMES if name in there), None)
            return {("validation" if name == found else name): name for name in there}
        return {name: name for name in there}


def _rows(batch: Any, where: str, first_row: int) -> list[dict[str, object]]:
    try:
        return list(batch.to_pylist())
    except UnicodeDecodeError as error:
        last = first_row + batch.num_rows - 1
        byte = error.object[error.start]
        raise DatasetError(
            f"{where}, rows {first_row}-{last}: byte 0x{byte:02x} is not UTF-8; build the dataset from UTF-8"
        ) from error


def _class_name(names: Sequence[str], value: object) -> object:
    """The hub writes -1 where a test label is withheld."""
    if not isinstance(value, int):
        return value
    return names[value] if 0 <= value < len(names) else None

"""The splits of a dataset of the `datasets` library, wherever it stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from os import PathLike, fspath
from pathlib import Path
from typing import Any, TypeAlias

from fusionapp.adapters.hub_datasets.loading import load_directory, load_hub
from fusionapp.domain.columns import Columns, Place
from fusionapp.domain.errors import DatasetError
from fusionapp.domain.splits import order_splits, unknown_split

HubLoader: TypeAlias = Callable[[str, str | None, str | None], Mapping[str, Any]]
"""(name, config, revision) to the dataset of each split."""

_VALIDATION_NAMES = ("valid", "val", "dev")
_BATCH_ROWS = 1024


class HubSplits:
    """A directory that ``DatasetDict.save_to_disk`` wrote, or a dataset of the hub by name.

    A local directory goes first, then ``data_dir/name`` (so that "r52" is DATA_DIR/r52), then the hub. Nothing is
    loaded before the first question.
    """

    def __init__(
        self,
        name: str | PathLike[str],
        splits: Mapping[str, str] | None = None,
        config: str | None = None,
        revision: str | None = None,
        data_dir: str | PathLike[str] | None = None,
        load: HubLoader = load_hub,
    ) -> None:
        """`splits`: our name of a split to the dataset's; default all, "valid", "val" or "dev" as validation."""
        self._name = fspath(name)
        self._names = splits
        self._config = config
        self._revision = revision
        self._data_dir = None if data_dir is None else Path(data_dir).expanduser()
        self._load = load

    def names(self) -> Sequence[str]:
        """The dataset's splits, in the order train, validation, test, others."""
        return order_splits(self._mapping)

    def describe(self, split: str) -> str:
        """The directory or hub name, and the split as it is called there."""
        return f"{self._where}, split {self._theirs(split)!r}"

    def dataset(self, split: str) -> Any:
        """The `datasets.Dataset` of a split."""
        return self._loaded[self._theirs(split)]

    def rows(self, split: str, layout: Columns) -> Iterator[tuple[Place, dict[str, object]]]:
        """Rows of a split, those columns alone, a batch in memory at a time.

        Raises:
            DatasetError: a missing split or column, or a string that is not UTF-8.
            UpstreamError: the hub cannot be reached, or has no such dataset.
        """
        where = self.describe(split)
        dataset = self.dataset(split)
        layout.check(dataset.column_names, Place(where))
        batches = dataset.select_columns(list(layout.columns)).with_format("arrow")
        row = 0
        for batch in batches.iter(_BATCH_ROWS):
            for values in _rows(batch, where, row):
                yield Place(where, row), values
                row += 1

    def classes(self, split: str, column: str | None) -> Sequence[str] | None:
        """Names of a ClassLabel column; None where it is another kind of column."""
        return None if column is None else getattr(self.dataset(split).features[column], "names", None)

    def _theirs(self, split: str) -> str:
        if split not in self._mapping:
            raise unknown_split(split, self.names(), self._where)
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


def class_name(names: Sequence[str], value: object) -> object:
    """A class's name from its number; the hub writes -1 where a test label is withheld."""
    if not isinstance(value, int):
        return value
    return names[value] if 0 <= value < len(names) else None

"""Which files the splits of a dataset are read from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Generic, TypeAlias, TypeVar

import attrs

from fusionapp.domain.errors import UsageError
from fusionapp.domain.splits import order_splits, unknown_split

Files: TypeAlias = "str | PathLike[str] | Sequence[str | PathLike[str]]"
"""A file, or several that are read as one, in order."""

Part = TypeVar("Part")


@attrs.frozen
class SplitFiles(Generic[Part]):
    """The files of each split.

    Attributes:
        parts: by split, in order: paths, or what a source keeps of a file, whose text is its path.

    Raises:
        UsageError: a split has none.
    """

    parts: Mapping[str, Sequence[Part]]

    def __attrs_post_init__(self) -> None:
        for split, parts in self.parts.items():
            if not parts:
                raise UsageError(f"dataset.{split}: names no file")

    def names(self) -> Sequence[str]:
        """The splits, in the order train, validation, test, others."""
        return order_splits(self.parts)

    def describe(self, split: str) -> str:
        """The split's files, separated by commas.

        Raises:
            DatasetError: no such split.
        """
        return ", ".join(map(str, self.of(split)))

    def of(self, split: str) -> Sequence[Part]:
        """The split's files.

        Raises:
            DatasetError: no such split; says which ones there are.
        """
        if split not in self.parts:
            raise unknown_split(split, self.names(), "dataset")
        return self.parts[split]


def split_paths(splits: Mapping[str, Files]) -> SplitFiles[Path]:
    """The files of each split, as an experiment file names them.

    Raises:
        UsageError: a split has none.
    """
    return SplitFiles(
        {
            split: [file_path(file) for file in ([files] if isinstance(files, str | PathLike) else files)]
            for split, files in splits.items()
        }
    )


def file_path(file: str | PathLike[str]) -> Path:
    """A file's path as an experiment file names it; ``~`` is the user's home."""
    return Path(fspath(file)).expanduser()

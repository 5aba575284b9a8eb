"""The dataset source over docstrings."""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator, Mapping, Sequence, Set as AbstractSet
from functools import cached_property
from itertools import islice
from os import PathLike
from pathlib import Path

from fusionapp.adapters.docstrings.areas import STDLIB_AREAS
from fusionapp.adapters.docstrings.modules import ModuleFile, find_modules, find_packages, stable_key
from fusionapp.adapters.docstrings.names import NameEraser
from fusionapp.adapters.docstrings.sampling import SHARES, Row, deal, sample
from fusionapp.application.ports.dataset_source import DatasetSource
from fusionapp.domain.errors import DatasetError, UsageError
from fusionapp.domain.examples import Example
from fusionapp.domain.splits import check_limit, order_splits, unknown_split


class DocstringSource(DatasetSource):
    """Docstrings of the standard library and of installed packages, as a classification task.

    A row is the prose of one docstring, without its own package's name; its label is the top-level package or
    the area of the standard library (`STDLIB_AREAS`). Source files are parsed, never imported. The rows
    follow from the installed files alone: everything is ordered by SHA-256. Whole modules go to train (70 %),
    validation (10 %) or test (20 %) label by label, and no text stands twice.
    """

    def __init__(
        self,
        *,
        packages: Sequence[str] | None = None,
        min_rows: int = 60,
        max_rows: int = 200,
        max_module_rows: int = 12,
        max_packages: int = 16,
        limit: int | None = None,
        site_packages: Sequence[str | PathLike[str]] | None = None,
        stdlib: str | PathLike[str] | None = None,
    ) -> None:
        """Take the settings; nothing is read before the first question.

        Args:
            packages: which packages; default the `max_packages` largest that have enough docstrings.
            min_rows: labels with fewer rows are left out.
            max_rows: most rows of a label.
            max_module_rows: most rows of one module, so that a label is more than a few modules.
            max_packages: most packages taken where `packages` names none.
            limit: read only this many rows of each split.
            site_packages: where packages are installed; default this interpreter's.
            stdlib: where the standard library is; default this interpreter's.

        Raises:
            UsageError: settings that make no sense.
        """
        check_limit(limit)
        if not 1 <= min_rows <= max_rows:
            raise UsageError(f"dataset.min_rows: expected 1 to max_rows ({max_rows}), got {min_rows}")
        installed = sysconfig.get_paths()
        if site_packages is None:
            site_packages = list(dict.fromkeys((installed["purelib"], installed["platlib"])))
        self._roots = [Path(root) for root in site_packages]
        self._stdlib = Path(installed["stdlib"] if stdlib is None else stdlib)
        self._packages = packages
        self._min_rows = min_rows
        self._max_rows = max_rows
        self._max_module_rows = max_module_rows
        self._max_packages = max_packages
        self._limit = limit

    def splits(self) -> Sequence[str]:
        """Train, validation and test."""
        return order_splits(SHARES)

    def describe(self, split: str) -> str:
        """Where the docstrings stand."""
        if split not in SHARES:
            raise unknown_split(split, self.splits(), "docstrings")
        return f"docstrings ({split}) under {', '.join(map(str, [self._stdlib, *self._roots]))}"

    def read(self, split: str) -> Iterator[Example]:
        """Examples of a split; ids are ``{"row": n, "object": "module:qualified.name"}``.

        Raises:
            DatasetError: a package that was named is not installed or has too few docstrings.
        """
        if split not in SHARES:
            raise unknown_split(split, self.splits(), "docstrings")
        examples = (
            Example(row.text, row.label, {"row": number, "object": row.name})
            for number, row in enumerate(self._rows[split])
        )
        return islice(examples, self._limit)

    @cached_property
    def _rows(self) -> Mapping[str, Sequence[Row]]:
        """Every split's rows, labels mixed."""
        splits: dict[str, list[Row]] = {split: [] for split in SHARES}
        seen: set[str] = set()
        packages = 0
        for label, modules, eraser in self._candidates():
            if label not in STDLIB_AREAS and self._packages is None and packages == self._max_packages:
                break
            dealt = deal(self._sample(label, modules, eraser, seen))
            if not all(dealt.values()) or sum(map(len, dealt.values())) < self._min_rows:
                self._refuse_if_named(label, dealt)
                continue
            packages += label not in STDLIB_AREAS
            for split, rows in dealt.items():
                splits[split] += rows
                seen.update(row.text for row in rows)
        if not seen:
            raise DatasetError(f"{self.describe('train')}: no label has {self._min_rows} docstrings of prose")
        return {split: sorted(rows, key=lambda row: stable_key(row.name)) for split, rows in splits.items()}

    def _sample(
        self, label: str, modules: Sequence[ModuleFile], eraser: NameEraser, seen: AbstractSet[str]
    ) -> dict[str, list[Row]]:
        return sample(
            label,
            modules,
            eraser,
            seen=seen,
            max_rows=self._max_rows,
            max_module_rows=self._max_module_rows,
        )

    def _candidates(self) -> Iterator[tuple[str, Sequence[ModuleFile], NameEraser]]:
        """Labels with their modules: the standard library's areas, then packages, the largest first."""
        for area, names in STDLIB_AREAS.items():
            yield area, find_modules(self._stdlib, names), NameEraser.for_modules(names)
        found: dict[str, list[ModuleFile]] = {}
        for root in self._roots:
            for package in find_packages(root):
                # The project itself, and what is private to another package, are no subjects.
                if package != "fusionapp" and not package.startswith("_"):
                    found.setdefault(package, find_modules(root, [package]))
        if self._packages is not None:
            self._refuse_missing(found)
            found = {package: found[package] for package in self._packages}
        for package in sorted(found, key=lambda name: (-sum(module.size for module in found[name]), name)):
            yield package, found[package], NameEraser.for_package(package)

    def _refuse_missing(self, found: Mapping[str, object]) -> None:
        missing = [package for package in self._packages or () if package not in found]
        if missing:
            raise DatasetError(f"dataset.packages: {missing} are not installed; install them, or name others")

    def _refuse_if_named(self, label: str, dealt: Mapping[str, Sequence[Row]]) -> None:
        if self._packages is not None and label in self._packages:
            raise DatasetError(
                f"dataset.packages: {label!r} has {sum(map(len, dealt.values()))} docstrings of prose, fewer"
                f" than dataset.min_rows = {self._min_rows} or in fewer than three modules; name another"
            )

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest
from fakes.packages import write_package, write_packages

from fusionapp.adapters.docstrings import DocstringSource
from fusionapp.domain.errors import DatasetError, UsageError
from fusionapp.domain.examples import Example


def tree(root: Path, **settings: object) -> DocstringSource:
    if not (root / "stdlib").exists():
        write_packages(root)
    chosen: dict[str, object] = {"min_rows": 10, "max_rows": 20, **settings}
    return DocstringSource(site_packages=[root / "site-packages"], stdlib=root / "stdlib", **chosen)  # type: ignore[arg-type]  # settings by name


def every(source: DocstringSource) -> list[Example]:
    return [example for split in source.splits() for example in source.read(split)]


def test_labels_are_packages_and_areas_of_the_standard_library(tmp_path: Path) -> None:
    assert {row.label for row in every(tree(tmp_path))} == {"alpha", "beta", "stdlib concurrency"}


def test_no_text_names_its_package(tmp_path: Path) -> None:
    texts = " ".join(row.text for row in every(tree(tmp_path)))
    assert not [name for name in ("alpha", "beta", "asyncio") if name in texts]


def test_a_text_of_two_labels_is_kept_once(tmp_path: Path) -> None:
    write_packages(tmp_path)
    write_package(tmp_path / "site-packages", "gamma")  # as long as "alpha" is, so its texts are the same
    texts = [row.text for row in every(tree(tmp_path, max_rows=24))]
    assert len(set(texts)) == len(texts)


def test_a_module_never_stands_in_two_splits(tmp_path: Path) -> None:
    source = tree(tmp_path)
    splits = Counter(
        module
        for split in source.splits()
        for module in {str(row.id["object"]).split(":")[0] for row in source.read(split)}
    )
    assert set(splits.values()) == {1}


def test_every_label_stands_in_every_split(tmp_path: Path) -> None:
    source = tree(tmp_path)
    assert {
        split: {row.label for row in source.read(split)} == {row.label for row in every(source)}
        for split in source.splits()
    } == {"train": True, "validation": True, "test": True}


def test_no_package_is_imported(tmp_path: Path) -> None:
    every(tree(tmp_path))  # each fake package raises when it is imported
    assert "alpha" not in sys.modules


def test_a_label_is_capped(tmp_path: Path) -> None:
    assert set(Counter(row.label for row in every(tree(tmp_path, max_rows=15))).values()) == {15}


def test_a_module_is_capped(tmp_path: Path) -> None:
    objects = [str(row.id["object"]) for row in every(tree(tmp_path, max_module_rows=2))]
    assert set(Counter(name.split(":")[0] for name in objects).values()) == {2}


def test_packages_can_be_named(tmp_path: Path) -> None:
    assert {row.label for row in every(tree(tmp_path, packages=["beta"]))} == {"beta", "stdlib concurrency"}


def test_the_largest_packages_are_taken(tmp_path: Path) -> None:
    labels = {row.label for row in every(tree(tmp_path, max_packages=1))}
    assert labels == {"alpha", "stdlib concurrency"}


def test_a_package_that_is_not_installed_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"\['omega'\] are not installed"):
        every(tree(tmp_path, packages=["omega"]))


def test_a_named_package_with_too_few_docstrings_is_an_error(tmp_path: Path) -> None:
    write_packages(tmp_path)
    small = tmp_path / "site-packages" / "small"
    small.mkdir()
    (small / "__init__.py").write_text('"""A package with one docstring and no more."""\n', encoding="utf-8")
    with pytest.raises(DatasetError, match="'small' has 1 docstrings"):
        every(tree(tmp_path, packages=["small"]))


@pytest.mark.parametrize("folder", ["tests", "_vendor", "__pycache__"])
def test_tests_vendored_copies_and_caches_are_left_out(tmp_path: Path, folder: str) -> None:
    write_packages(tmp_path)
    write_package(tmp_path / "site-packages" / "alpha", folder)
    assert not [row for row in every(tree(tmp_path)) if folder in str(row.id["object"])]


def test_the_project_itself_is_left_out(tmp_path: Path) -> None:
    write_packages(tmp_path)
    write_package(tmp_path / "site-packages", "fusionapp")
    assert "fusionapp" not in {row.label for row in every(tree(tmp_path))}


@pytest.mark.parametrize("content", [b"print 'two'\n", b"\x00", b"# coding: none\n", b"\xff\xfe", b'"\\d"\n'])
def test_a_file_that_is_no_python_is_passed_over(tmp_path: Path, content: bytes) -> None:
    write_packages(tmp_path)
    (tmp_path / "site-packages" / "alpha" / "odd.py").write_bytes(content)
    assert every(tree(tmp_path))


def test_the_rows_do_not_depend_on_where_packages_are_installed(tmp_path: Path) -> None:
    assert every(tree(tmp_path / "one")) == every(tree(tmp_path / "another"))


def test_nothing_to_read_is_an_error_that_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no label has 60 docstrings"):
        every(DocstringSource(site_packages=[tmp_path], stdlib=tmp_path))


@pytest.mark.parametrize("settings", [{"limit": 0}, {"min_rows": 0}, {"min_rows": 300}])
def test_settings_that_make_no_sense_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(UsageError, match=r"dataset\.(limit|min_rows)"):
        DocstringSource(**settings)  # type: ignore[arg-type]  # settings by name


@pytest.mark.slow
def test_this_interpreters_own_packages_make_a_few_thousand_rows() -> None:
    source = DocstringSource()
    sizes = {split: len(list(source.read(split))) for split in source.splits()}
    assert 2_500 <= sum(sizes.values()) <= 5_500
    assert 0.65 <= sizes["train"] / sum(sizes.values()) <= 0.75
    assert {"numpy", "torch", "stdlib networking"} <= {row.label for row in source.read("train")}

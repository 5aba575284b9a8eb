"""What every spool promises, in memory and on disk alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fakes.stores import MemorySpool

from fusionapp.adapters.filesystem.spool import ArrowSpool
from fusionapp.application.ports.spool import Spool
from fusionapp.domain.embeddings import fingerprint_texts
from fusionapp.domain.errors import DatasetError, UsageError
from fusionapp.domain.examples import Example

Reopen = Callable[[], Spool]

EXAMPLES = [
    Example("a plain text", "joy", {"paper": "x1", "paragraph": 0}),
    Example("", None, {"paper": "x1", "paragraph": 1}),
    Example("zwei\nZeilen, \x00 und 编码 🎉", "", {"paper": None, "paragraph": 2.5}),
    Example("a plain text", "anger", {"ключ": ["a", {"b": True}]}),
]


@pytest.fixture(params=["memory", "arrow"])
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Reopen:
    if request.param == "memory":
        spool = MemorySpool()
        return lambda: spool
    return lambda: ArrowSpool(tmp_path / "spool")


def test_a_split_comes_back_as_it_was_written(reopen: Reopen) -> None:
    reopen().write("train", EXAMPLES)
    split = reopen().read("train")
    assert split.rows == 4
    assert split.texts(0, 4) == [example.text for example in EXAMPLES]
    assert split.labels() == ["joy", None, "", "anger"]
    assert [dict(row) for row in split.ids()] == [dict(example.id) for example in EXAMPLES]


def test_the_fingerprint_is_that_of_the_texts(reopen: Reopen) -> None:
    written = reopen().write("train", EXAMPLES)
    expected = fingerprint_texts(example.text for example in EXAMPLES)
    assert written.texts_sha256 == reopen().read("train").texts_sha256 == expected


def test_any_range_of_rows_can_be_read(reopen: Reopen) -> None:
    rows = 5000  # several batches
    reopen().write("train", (Example(f"text {row}") for row in range(rows)))
    split = reopen().read("train")
    for start, stop in [(0, 1), (2047, 2049), (4999, 5000), (0, rows), (10, 10), (4000, 9000)]:
        assert split.texts(start, stop) == [f"text {row}" for row in range(start, min(stop, rows))]


def test_the_ids_of_any_range_of_rows_can_be_read(reopen: Reopen) -> None:
    reopen().write("train", (Example(f"text {row}", None, {"n": row}) for row in range(5000)))
    split = reopen().read("train")
    for start, stop in [(0, 1), (2047, 2049), (4999, 9000), (10, 10)]:
        assert list(split.ids(start, stop)) == [{"n": row} for row in range(start, min(stop, 5000))]


def test_the_labels_of_any_range_of_rows_can_be_read(reopen: Reopen) -> None:
    reopen().write("train", (Example(f"text {row}", str(row % 7)) for row in range(5000)))
    split = reopen().read("train")
    for start, stop in [(0, 1), (2047, 2049), (4999, 9000), (10, 10)]:
        assert split.labels(start, stop) == [str(row % 7) for row in range(start, min(stop, 5000))]


def test_a_split_of_no_rows_is_a_split(reopen: Reopen) -> None:
    reopen().write("test", [])
    split = reopen().read("test")
    assert (split.rows, split.texts(0, 10), split.labels(), list(split.ids())) == (0, [], [], [])


def test_splits_stand_side_by_side(reopen: Reopen) -> None:
    reopen().write("train", EXAMPLES)
    reopen().write("test", EXAMPLES[:1])
    assert (reopen().read("train").rows, reopen().read("test").rows) == (4, 1)


def test_writing_again_replaces_a_split(reopen: Reopen) -> None:
    reopen().write("train", EXAMPLES)
    reopen().write("train", EXAMPLES[:2])
    assert reopen().read("train").rows == 2


def test_a_source_that_fails_leaves_the_earlier_split(reopen: Reopen) -> None:
    def broken() -> Iterator[Example]:
        yield EXAMPLES[0]
        raise DatasetError("row 1: is no text")

    reopen().write("train", EXAMPLES)
    with pytest.raises(DatasetError, match="row 1"):
        reopen().write("train", broken())
    assert reopen().read("train").rows == 4


def test_an_unknown_split_is_named(reopen: Reopen) -> None:
    with pytest.raises(UsageError, match="validation"):
        reopen().read("validation")


@pytest.mark.parametrize(
    "example",
    [
        Example("half a \ud83d pair"),
        Example("text", "label \udc00"),
        Example("text", id={"score": float("nan")}),
    ],
    ids=["text", "label", "id"],
)
def test_what_cannot_be_stored_is_refused_by_split_and_row(reopen: Reopen, example: Example) -> None:
    with pytest.raises(DatasetError, match="train: row 4"):
        reopen().write("train", [*EXAMPLES, example])


def test_a_whole_spool_verifies(reopen: Reopen) -> None:
    assert list(reopen().verify()) == []
    reopen().write("train", EXAMPLES)
    assert list(reopen().verify()) == []


def test_a_removed_split_is_gone_and_the_others_stay(reopen: Reopen) -> None:
    reopen().write("train", EXAMPLES)
    reopen().write("train.documents", EXAMPLES[:1])
    reopen().remove("train")
    with pytest.raises(UsageError):
        reopen().read("train")
    assert reopen().read("train.documents").rows == 1
    assert not reopen().verify()


def test_removing_what_is_not_there_does_nothing(reopen: Reopen) -> None:
    reopen().remove("train")
    reopen().write("train", EXAMPLES)
    reopen().remove("test")
    assert reopen().read("train").rows == 4

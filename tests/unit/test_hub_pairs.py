"""Pairs of the `datasets` library: class names, withheld values and splits of other names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import pytest

from fusionapp.adapters.hub_datasets import HubPairSource
from fusionapp.domain.errors import DatasetError, UsageError
from fusionapp.domain.retrieval.pair_columns import pair_layout


def rows(**columns: Any) -> Any:
    return datasets.Dataset.from_dict({"query": ["q", "r"], "document": ["d", "e"], **columns})


def test_classes_are_named(tmp_path: Path) -> None:
    names = datasets.ClassLabel(names=["neg", "pos"])
    saved = rows(topic=[1, -1], label=[0, 1]).cast_column("topic", names).cast_column("label", names)
    datasets.DatasetDict({"train": saved}).save_to_disk(str(tmp_path / "d"))
    pairs = list(HubPairSource(tmp_path / "d", pair_layout(topic="topic", label="label")).read("train"))
    assert [(pair.topic, pair.label) for pair in pairs] == [("pos", "neg"), (None, "pos")]


def test_splits_go_by_the_names_that_are_asked_for(tmp_path: Path) -> None:
    datasets.DatasetDict({"part": rows(), "dev": rows()}).save_to_disk(str(tmp_path / "d"))
    assert tuple(HubPairSource(tmp_path / "d", pair_layout()).splits()) == ("validation", "part")
    assert tuple(HubPairSource(tmp_path / "d", pair_layout(), splits={"train": "part"}).splits()) == (
        "train",
    )


def test_a_hub_name_is_loaded_with_its_config_and_revision() -> None:
    asked: list[Any] = []

    def load(*words: Any) -> Any:
        asked.append(words)
        return {"train": rows()}

    source = HubPairSource("some/pairs", pair_layout(), config="en", revision="abc", load=load)
    assert len(list(source.read("train"))) == 2
    assert asked == [("some/pairs", "en", "abc")]
    assert "config 'en', revision 'abc', split 'train'" in source.describe("train")


def test_a_missing_column_and_a_blank_text_are_named(tmp_path: Path) -> None:
    bad = datasets.Dataset.from_dict({"query": ["q", ""], "document": ["d", "e"]})
    datasets.DatasetDict({"train": bad}).save_to_disk(str(tmp_path / "d"))
    with pytest.raises(DatasetError, match="column 'abstract': no such column"):
        list(HubPairSource(tmp_path / "d", pair_layout(document="abstract")).read("train"))
    with pytest.raises(DatasetError, match=r"split 'train', row 1 .*column 'query': the text is blank"):
        list(HubPairSource(tmp_path / "d", pair_layout()).read("train"))


def test_a_limit_reads_no_further(tmp_path: Path) -> None:
    datasets.DatasetDict({"train": rows()}).save_to_disk(str(tmp_path / "d"))
    assert len(list(HubPairSource(tmp_path / "d", pair_layout(), limit=1).read("train"))) == 1
    with pytest.raises(UsageError, match=r"dataset.limit"):
        HubPairSource("x", pair_layout(), limit=0)

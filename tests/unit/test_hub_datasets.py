from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import datasets
import pytest
from datasets.exceptions import DatasetGenerationError, DatasetNotFoundError

from fusionapp.adapters.hub_datasets import HubDatasetSource
from fusionapp.adapters.hub_datasets.loading import hub_errors, load_hub
from fusionapp.domain.errors import DatasetError, FusionAppError, ResourceError, UpstreamError, UsageError
from fusionapp.domain.examples import Example

POLARITY = datasets.Features(
    {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])}
)


def dataset(texts: list[str | None], labels: list[Any], features: Any = None) -> Any:
    return datasets.Dataset.from_dict({"text": texts, "label": labels}, features=features)


def save(directory: Path, **splits: Any) -> Path:
    datasets.DatasetDict(splits).save_to_disk(str(directory))
    return directory


def test_a_saved_dataset_dict_gives_its_splits_in_order(tmp_path: Path) -> None:
    saved = save(tmp_path / "d", test=dataset(["c"], [1]), train=dataset(["a", "b"], [0, 1]))
    source = HubDatasetSource(saved)
    assert source.splits() == ("train", "test")
    assert list(source.read("train")) == [Example("a", "0", {"row": 0}), Example("b", "1", {"row": 1})]


def test_class_labels_print_their_names(tmp_path: Path) -> None:
    saved = save(tmp_path / "d", train=dataset(["a", "b"], [0, 1], POLARITY))
    assert [row.label for row in HubDatasetSource(saved).read("train")] == ["neg", "pos"]


def test_class_names_of_the_experiment_replace_the_datasets_own(tmp_path: Path) -> None:
    saved = save(tmp_path / "d", train=dataset(["a", "b"], [0, 1], POLARITY))
    source = HubDatasetSource(saved, class_names=["bad", "good"])
    assert [row.label for row in source.read("train")] == ["bad", "good"]


def test_a_withheld_label_is_a_missing_label(tmp_path: Path) -> None:
    saved = save(tmp_path / "d", test=dataset(["a", "b"], [0, -1], POLARITY))
    with pytest.raises(DatasetError, match=r"row 1 .*column 'label': the label is missing"):
        list(HubDatasetSource(saved).read("test"))


def test_a_null_text_names_its_row(tmp_path: Path) -> None:
    saved = save(tmp_path / "d", test=dataset(["a", None], [0, 1]))
    with pytest.raises(DatasetError, match=r"d, split 'test', row 1 .*column 'text': the text is missing"):
        list(HubDatasetSource(saved).read("test"))


def test_a_plain_dataset_is_a_train_split(tmp_path: Path) -> None:
    dataset(["a"], ["x"]).save_to_disk(str(tmp_path / "d"))
    assert HubDatasetSource(tmp_path / "d").splits() == ("train",)


@pytest.mark.parametrize("theirs", ["valid", "val", "dev"])
def test_the_hubs_other_names_for_validation_are_known(theirs: str) -> None:
    source = HubDatasetSource(
        "x/y", load=lambda *_: {"train": dataset(["a"], [0]), theirs: dataset(["b"], [1])}
    )
    assert source.splits() == ("train", "validation")
    assert [row.text for row in source.read("validation")] == ["b"]


def test_validation_itself_goes_before_other_names_for_it() -> None:
    source = HubDatasetSource(
        "x/y", load=lambda *_: {"dev": dataset(["a"], [0]), "validation": dataset(["b"], [1])}
    )
    assert source.splits() == ("validation", "dev")
    assert [row.text for row in source.read("validation")] == ["b"]


def test_splits_can_be_named_by_the_experiment() -> None:
    source = HubDatasetSource(
        "x/y",
        splits={"test": "unseen"},
        load=lambda *_: {"train": dataset(["a"], [0]), "unseen": dataset(["b"], [1])},
    )
    assert source.splits() == ("test",)
    assert [row.text for row in source.read("test")] == ["b"]


def test_a_split_that_is_not_there_lists_those_that_are() -> None:
    def load(*_: object) -> Mapping[str, Any]:
        return {"train": dataset(["a"], [0])}

    with pytest.raises(DatasetError, match="no split 'unseen'; the splits there are: train"):
        HubDatasetSource("x/y", splits={"test": "unseen"}, load=load).splits()
    with pytest.raises(DatasetError, match="no split 'test'; the splits there are: train"):
        list(HubDatasetSource("x/y", load=load).read("test"))


def test_a_name_is_looked_for_under_the_data_directory_before_the_hub(tmp_path: Path) -> None:
    save(tmp_path / "data" / "r52", train=dataset(["a"], ["x"]))
    source = HubDatasetSource("r52", data_dir=tmp_path / "data")
    assert source.describe("train") == f"{tmp_path / 'data' / 'r52'}, split 'train'"


def test_a_name_does_not_climb_out_of_the_data_directory(tmp_path: Path) -> None:
    save(tmp_path / "secret", train=dataset(["a"], ["x"]))
    (tmp_path / "data").mkdir()
    asked = []

    def load(name: str, *_: object) -> Mapping[str, Any]:
        asked.append(name)
        return {}

    HubDatasetSource("../secret", data_dir=tmp_path / "data", load=load).splits()
    assert asked == ["../secret"]


def test_config_and_revision_reach_the_hub() -> None:
    asked = []

    def load(*arguments: str | None) -> Mapping[str, Any]:
        asked.append(arguments)
        return {"train": dataset(["a"], [0])}

    source = HubDatasetSource("x/y", config="small", revision="abc", load=load)
    assert (
        source.describe("train") == "dataset 'x/y' of the hub, config 'small', revision 'abc', split 'train'"
    )
    assert asked == [("x/y", "small", "abc")]


def test_a_directory_of_something_else_points_to_files(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r'save_to_disk wrote .*dataset\.source = "files"'):
        HubDatasetSource(tmp_path).splits()


def test_a_damaged_directory_is_said_to_be_damaged(tmp_path: Path) -> None:
    saved = save(tmp_path / "d", train=dataset(["a"], ["x"]))
    arrow = next(saved.glob("train/*.arrow"))
    arrow.write_bytes(arrow.read_bytes()[:100])
    with pytest.raises(DatasetError, match="damaged dataset"):
        HubDatasetSource(saved).splits()


def test_a_missing_column_lists_those_that_are_there(tmp_path: Path) -> None:
    saved = save(tmp_path / "d", train=dataset(["a"], ["x"]))
    with pytest.raises(DatasetError, match=r"column 'body': no such column; .*'text', 'label'"):
        list(HubDatasetSource(saved, "body").read("train"))


def test_a_limit_reads_the_first_rows(tmp_path: Path) -> None:
    saved = save(tmp_path / "d", train=dataset(["a", "b"], ["x", "y"]))
    assert [row.text for row in HubDatasetSource(saved, limit=1).read("train")] == ["a"]
    with pytest.raises(UsageError, match=r"dataset\.limit"):
        HubDatasetSource(saved, limit=0)


def test_reading_a_directory_leaves_standard_output_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = save(tmp_path / "d", train=dataset(["a"], ["x"]))
    capsys.readouterr()
    shown = datasets.is_progress_bar_enabled()
    list(HubDatasetSource(saved).read("train"))
    assert capsys.readouterr().out == ""
    assert datasets.is_progress_bar_enabled() == shown


@pytest.mark.parametrize(
    ("raised", "kind", "said"),
    [
        (DatasetNotFoundError("gone"), UpstreamError, "HF_TOKEN"),
        (ConnectionError("no route"), UpstreamError, "save_to_disk"),
        (OSError(28, "No space left on device"), ResourceError, "no space left"),
        (ValueError("Config name is missing: a, b"), DatasetError, "'x/y': Config name is missing: a, b"),
        (RuntimeError("Dataset scripts are no longer supported"), DatasetError, "scripts"),
        (DatasetGenerationError("bad file"), DatasetError, "cannot be built"),
    ],
)
def test_every_failure_of_the_hub_has_its_kind_and_way_out(
    raised: Exception, kind: type[FusionAppError], said: str
) -> None:
    def fail() -> None:
        raise raised

    with pytest.raises(kind, match=said):
        _within(hub_errors("x/y"), fail)


def _within(context: Any, action: Callable[[], None]) -> None:
    with context:
        action()


def test_without_a_network_the_hub_is_an_upstream_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    with pytest.raises(UpstreamError, match="check the network"):
        load_hub("nobody/none-such", None, None)

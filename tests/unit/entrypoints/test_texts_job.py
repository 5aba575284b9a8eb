"""How the flags of `extract --texts` become an ordinary experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fusionapp.domain.errors import ConfigurationError, UsageError
from fusionapp.entrypoints.experiment.structure import structure
from fusionapp.entrypoints.texts_job import TextsJob

OUTPUT = Path("deep/results")


def completed(job: TextsJob, **content: Any) -> dict[str, Any]:
    plain = {"encoders": {"bge-large": {"model": "bge-large"}}, **content}
    job.complete(plain, OUTPUT)
    return plain


def test_a_file_of_texts_is_a_dataset_without_labels_kept_under_the_output() -> None:
    experiment = structure(completed(TextsJob(Path("p.jsonl"), ids=("paper", "part"), shard_rows=64)))
    assert experiment.name == "results"
    assert (experiment.dataset.source, experiment.dataset.texts) == ("files", "p.jsonl")
    assert experiment.dataset.train is None
    assert experiment.dataset.id == ("paper", "part")
    assert experiment.storage.root == str(OUTPUT / "embeddings")
    assert experiment.storage.shard_rows == 64


def test_a_storage_root_that_is_given_stays() -> None:
    content = completed(TextsJob(Path("p.jsonl")), storage={"root": "shared"})
    assert content["storage"]["root"] == "shared"


def test_without_texts_an_experiment_keeps_its_dataset_and_its_store() -> None:
    content = completed(TextsJob(ids=("paper",)), dataset={"train": "a.csv"})
    assert content["dataset"] == {"train": "a.csv", "id": ["paper"]}
    assert "storage" not in content


@pytest.mark.parametrize(
    ("settings", "executor"),
    [
        ({"workers": 2}, "processes"),
        ({"workers": 1}, None),
        ({}, None),
        ({"workers": 2, "executor": "ray"}, "ray"),
        ({"workers": 2, "executor": "local"}, "local"),
    ],
)
def test_several_workers_are_processes_unless_an_executor_is_named(
    settings: dict[str, Any], executor: str | None
) -> None:
    content = completed(TextsJob(Path("p.jsonl")), extract=dict(settings))
    assert content["extract"].get("executor") == executor


def test_workers_that_a_named_executor_has_no_use_for_are_told(caplog: pytest.LogCaptureFixture) -> None:
    completed(TextsJob(Path("p.jsonl")), extract={"workers": 4, "executor": "local"})

    assert 'extract.workers: 4 are not used by executor = "local"' in caplog.text


@pytest.mark.parametrize(
    ("experiment", "output", "given", "said"),
    [
        (Path("a.toml"), OUTPUT, {}, r"--texts: does not go with EXPERIMENT \(a.toml\)"),
        (None, OUTPUT, {"dataset.train": "a.csv"}, "--texts: does not go with --train-file"),
        (None, OUTPUT, {"dataset.name": "r52"}, "--texts: does not go with --dataset"),
        (None, None, {}, "--texts: needs --output"),
    ],
)
def test_flags_that_do_not_go_with_texts_are_named(
    experiment: Path | None, output: Path | None, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        TextsJob(Path("p.jsonl")).check(experiment, output, given)


def test_texts_need_an_encoder() -> None:
    with pytest.raises(UsageError, match="--texts: name one encoder or several"):
        TextsJob(Path("p.jsonl")).complete({}, OUTPUT)


@pytest.mark.parametrize(
    ("dataset", "said"),
    [
        ({"texts": "p.jsonl", "train": "a.csv"}, "dataset.texts: does not go with dataset.train"),
        (
            {"texts": "p.jsonl", "source": "docstrings"},
            'dataset.texts: does not go with dataset.source = "docstrings"',
        ),
    ],
)
def test_texts_stand_alone_in_a_dataset(dataset: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        structure({"dataset": dataset, "encoders": {"a": {"model": "minilm"}}})

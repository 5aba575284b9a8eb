"""A run stands for one experiment: what only says how it is computed may change, nothing else in silence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from command_line import call, refused
from small_job import Job

from fusionapp.application.services.guard_experiment import differences, essential

SHORT = ("--set", "train.epochs=2", "--set", "train.seeds=1", "--set", "train.linear_path=none")
FAST = (*SHORT, "--encoder", "lexical")


@pytest.fixture
def job(finished: Job, tmp_path: Path) -> Path:
    """The small job's files, without its runs."""
    return Path(
        shutil.copytree(
            finished.directory, tmp_path / "job", ignore=shutil.ignore_patterns("runs", "embeddings")
        )
    )


def train(job: Path, *words: str, code: int = 0) -> Any:
    ended = call(job, "train", "tiny.toml", *FAST, "--json", *words, code=code)
    return ended.json if code == 0 else ended.err


def test_devices_and_budgets_are_no_difference_and_the_training_batch_is() -> None:
    def experiment(device: str, batch: int, tokens: int) -> dict[str, Any]:
        encoders = {"device": {"model": "a", "device": device, "batch_tokens": tokens}}
        return {"train": {"device": device, "batch_size": batch}, "encoders": encoders}

    one = experiment("cpu", 8, 10)

    assert list(differences(one, experiment("auto", 8, 20))) == []
    assert list(differences(one, experiment("cpu", 64, 10))) == ["train.batch_size"]
    assert list(differences(one, {**one, "encoders": {"device": {"model": "b"}}})) == [
        "encoders.device.model"
    ]
    assert essential(one) == {"train": {"batch_size": 8}, "encoders": {"device": {"model": "a"}}}
    carried = {"encoders": {"x": {"settings": {"device": "cpu"}, "identity": {"device": 1}}}}
    assert essential(carried) == {"encoders": {"x": {"settings": {}, "identity": {"device": 1}}}}


def test_another_training_batch_is_another_experiment(job: Path) -> None:
    train(job, "--set", "train.batch_size=8")

    assert "changed: train.batch_size" in refused(
        job, "train", "tiny.toml", *FAST, "--set", "train.batch_size=64", code=2
    )
    again = train(job, "--set", "train.batch_size=64", "--overwrite")
    assert not again["reused"]


def test_a_refused_evaluation_leaves_the_run_as_it_was(job: Path) -> None:
    train(job)

    said = refused(job, "evaluate", "tiny.toml", *FAST, "--set", "train.dropout=0.1", "--overwrite", code=2)

    assert "train.dropout" in said
    call(job, "evaluate", "tiny.toml", *FAST, "--set", "evaluate.baselines=false")


def test_other_folds_are_not_answered_by_the_scores_of_the_folds_before(job: Path) -> None:
    train(job, "--set", "dataset.folds=3")
    call(job, "evaluate", "tiny.toml", *FAST, "--set", "dataset.folds=3", "--set", "evaluate.baselines=false")
    five = (*FAST, "--set", "dataset.folds=5")
    call(job, "extract", "tiny.toml", *five, "--overwrite")

    said = refused(job, "evaluate", "tiny.toml", *five, "--set", "evaluate.baselines=false", code=2)

    assert "not trained" in said


def test_a_search_goes_on_elsewhere_and_starts_anew_only_where_that_is_asked_for(job: Path) -> None:
    train(job, "--search", "2")
    found = json.loads((job / "runs" / "tiny" / "search.json").read_text(encoding="utf-8"))

    train(job, "--search", "3", "--device", "auto")

    again = json.loads((job / "runs" / "tiny" / "search.json").read_text(encoding="utf-8"))
    first, second = (_unsealed(one) for one in (found, again))
    assert second["trials"][:2] == first["trials"]
    assert second["settings"] == first["settings"]
    assert "give --overwrite to search anew" in train(job, "--search", "4", "--search-fusion", code=2)
    call(job, "evaluate", "tiny.toml", *FAST, "--set", "evaluate.baselines=false")


def _unsealed(document: Any) -> Any:
    """A document of the run, whether it is kept plain or within its seal."""
    return document.get("record", document)


@pytest.mark.parametrize(
    "typo", ["dataset.label=emotion", "dataset.train=trian.csv", "encoders.lexical.model=x"]
)
def test_a_typo_beside_overwrite_costs_a_good_run_nothing(job: Path, typo: str) -> None:
    train(job)

    call(job, "train", "tiny.toml", *FAST, "--set", typo, "--overwrite", code=2)

    assert train(job)["reused"]
    call(job, "evaluate", "tiny.toml", *FAST, "--set", "evaluate.baselines=false")

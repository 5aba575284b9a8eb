"""One small experiment, extracted, trained and evaluated once by its commands, and copies of it to spoil."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import call
from interrupts import heed_interrupts
from small_job import Job, write_job
from small_search import SearchJob, write_search

from fusionapp.entrypoints.experiment.environment import NAMES

heed_interrupts()


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """The experiment after extract, train and evaluate; not to be changed."""
    directory = tmp_path_factory.mktemp("finished")
    write_job(directory)
    printed = [call(directory, name, "tiny.toml", "--json").json for name in ("extract", "train", "evaluate")]
    return Job(directory, *printed)


@pytest.fixture
def job(finished: Job, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(finished.directory, tmp_path / "job"))


@pytest.fixture
def fresh(finished: Job, tmp_path: Path) -> Path:
    """The same experiment before anything was done."""
    ignored = shutil.ignore_patterns("runs", "embeddings")
    return Path(shutil.copytree(finished.directory, tmp_path / "fresh", ignore=ignored))


@pytest.fixture(scope="session", autouse=True)
def _plain_environment() -> Iterator[None]:
    """The directories that a developer's own environment names are not for tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in NAMES:
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session")
def searched(tmp_path_factory: pytest.TempPathFactory) -> SearchJob:
    """A retrieval experiment after extract, train, evaluate and index; not to be changed."""
    directory = tmp_path_factory.mktemp("searched")
    write_search(directory)
    printed = {
        name: call(directory, name, "s.toml", "--json").json for name in ("extract", "train", "evaluate")
    }
    printed["index"] = call(directory, "index", "runs/s", "--json").json
    return SearchJob(directory, printed)


@pytest.fixture
def search_job(searched: SearchJob, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(searched.directory, tmp_path / "job"))


@pytest.fixture
def fresh_search(tmp_path: Path) -> Path:
    """The same experiment before anything was done."""
    write_search(tmp_path)
    return tmp_path

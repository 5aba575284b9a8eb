"""Every provider is built, with every adapter that an experiment can name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
from dependency_injector import errors, providers
from exported import exported
from tiny_models import tiny_model
from tiny_pipelines import tiny_pipeline

from fusionapp.entrypoints.containers import Gateways, Services
from fusionapp.entrypoints.experiment.schema import STORES, DatasetSettings
from fusionapp.entrypoints.experiment.structure import ENCODERS, structure
from fusionapp.entrypoints.session import Session, open_session

DATASETS: dict[str, dict[str, Any]] = {
    "files": {"train": "train.csv"},
    "huggingface": {"name": "r52"},
    "docstrings": {"packages": ["numpy"]},
}


def names(container: type[Gateways] | type[Services]) -> Iterator[str]:
    for name, provider in container.providers.items():
        if not isinstance(provider, providers.Configuration | providers.DependenciesContainer):
            yield name


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return session_with(tmp_path)


def session_with(tmp_path: Path, source: str = "files", storage: str = "npy") -> Session:
    experiment = {
        "dataset": {"source": source, **DATASETS[source]},
        "storage": {"adapter": storage, "root": str(tmp_path / "store")},
        "encoders": {"lexical": {"adapter": "lexical"}},
    }
    return open_session(structure(experiment), tmp_path / "runs", quiet=True)


@pytest.mark.parametrize("name", sorted(set(names(Gateways)) - {"encoder", "tracker"}))
def test_every_gateway_is_built(session: Session, name: str) -> None:
    assert getattr(session.gateways, name)() is not None


@pytest.mark.parametrize("name", sorted(names(Services)))
def test_every_service_is_built(session: Session, name: str) -> None:
    assert callable(getattr(session.services, name)())


def test_a_tracker_is_built_for_a_group(session: Session) -> None:
    session.gateways.tracker("models").close()


@pytest.mark.parametrize("source", get_args(get_type_hints(DatasetSettings)["source"]))
def test_every_dataset_source_is_built(tmp_path: Path, source: str) -> None:
    adapters = {
        "files": "FileDatasetSource",
        "huggingface": "HubDatasetSource",
        "docstrings": "DocstringSource",
    }
    built = session_with(tmp_path, source=source).services.read().source
    assert type(built).__name__ == adapters[source]


@pytest.mark.parametrize("storage", STORES)
def test_every_store_is_built_under_the_root_of_the_experiment(tmp_path: Path, storage: str) -> None:
    located = session_with(tmp_path, storage=storage).gateways.store().locate("key")
    assert located == str(tmp_path / "store" / storage / "key")


@pytest.mark.parametrize("adapter", ENCODERS)
def test_every_encoder_adapter_is_built(adapter: str, tmp_path: Path) -> None:
    np.save(tmp_path / "train.npy", np.zeros((3, 4), dtype=np.float32))
    settings: dict[str, dict[str, Any]] = {
        "huggingface": {"model": str(tiny_model("bert"))},
        "sentence_transformers": {"model": str(tiny_pipeline("dense"))},
        "onnx": {"model": str(exported("bert"))},
        "openai": {"model": "m", "dim": 4},
        "lexical": {"dim": 64},
        "imported": {"train": str(tmp_path / "train.npy")},
    }
    encoders = {"a": {"adapter": adapter, **settings[adapter]}}
    experiment = structure({"dataset": {"train": "t.csv"}, "encoders": encoders})
    (encoder,) = open_session(experiment, quiet=True).encoders().values()
    assert encoder.identity["adapter"] == adapter
    assert encoder.shape.sparse == (adapter == "lexical")


def test_a_relative_root_is_kept_as_seen_from_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plain: dict[str, Any] = {"dataset": {"train": "t.csv"}, "encoders": {"l": {"adapter": "lexical"}}}
    opened = open_session(structure({**plain, "name": "a"}), "runs", quiet=True)
    assert opened.root_beside_run() == "../../embeddings"
    absolute = {**plain, "storage": {"root": str(tmp_path / "x")}}
    assert open_session(structure(absolute), "runs", quiet=True).root_beside_run() == str(tmp_path / "x")


def test_a_configuration_key_that_is_not_there_is_an_error_and_not_none(session: Session) -> None:
    with pytest.raises(errors.Error):
        session.gateways.config.experiment.dataset.no_such_key()


def test_seeds_count_up_from_the_experiments_seed(tmp_path: Path) -> None:
    plain: dict[str, Any] = {"dataset": {"train": "t.csv"}, "encoders": {"l": {"adapter": "lexical"}}}
    opened = open_session(structure({**plain, "seed": 7, "train": {"seeds": 3}}), tmp_path, quiet=True)
    assert opened.seeds == [7, 8, 9]

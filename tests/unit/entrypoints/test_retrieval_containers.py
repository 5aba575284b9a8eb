"""Every provider of retrieval is built, with every adapter that an experiment can name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import attrs
import pytest
from dependency_injector import providers
from tiny_models import tiny_model

from fusionapp.domain.errors import UsageError
from fusionapp.entrypoints.experiment.structure import structure_as, unstructure
from fusionapp.entrypoints.retrieval.containers import RetrievalGateways, RetrievalServices
from fusionapp.entrypoints.retrieval.gateways import file_pairs
from fusionapp.entrypoints.retrieval.schema import IndexSettings, PairSettings, RetrievalExperiment
from fusionapp.entrypoints.retrieval.session import RetrievalSession, open_retrieval

ADAPTERS: dict[str, tuple[dict[str, Any], str]] = {
    "files": ({"train": "pairs.jsonl", "topics": ["a"]}, "FilePairSource"),
    "huggingface": ({"name": "pairs"}, "HubPairSource"),
    "arxiv": ({"train": "data/arxiv"}, "ArxivSource"),
    "beir": ({"name": "scifact"}, "BeirSource"),
}
AS_ASKED = {"encoder", "tracker", "tuner", "index", "source", "inspector"}
"""Gateways that take arguments, or that only a classification asks for."""

NEED_MORE: dict[str, dict[str, Any]] = {
    "mine": {"embed": None, "index": None},
    "tune": {"open_tuner": None, "mine": None},
    "build_index": {"indexes": {}},
    "search_index": {"indexes": {}},
}
"""What a step hands to a service."""


def names(container: type[RetrievalGateways] | type[RetrievalServices]) -> Iterator[str]:
    for name, provider in container.providers.items():
        if not isinstance(provider, providers.Configuration | providers.DependenciesContainer):
            yield name


def session_with(tmp_path: Path, source: str = "files", **tables: Any) -> RetrievalSession:
    experiment = {
        "task": {"kind": "retrieve"},
        "dataset": {"source": source, **ADAPTERS[source][0]},
        "encoders": {"tiny": {"model": str(tiny_model("bert"))}},
        "storage": {"root": str(tmp_path / "store")},
        **tables,
    }
    return open_retrieval(structure_as(experiment, RetrievalExperiment), tmp_path / "runs", quiet=True)


@pytest.mark.parametrize("name", sorted(set(names(RetrievalGateways)) - AS_ASKED))
def test_every_gateway_is_built(tmp_path: Path, name: str) -> None:
    assert getattr(session_with(tmp_path).gateways, name)() is not None


@pytest.mark.parametrize("name", sorted(names(RetrievalServices)))
def test_every_service_is_built(tmp_path: Path, name: str) -> None:
    assert callable(getattr(session_with(tmp_path).services, name)(**NEED_MORE.get(name, {})))


@pytest.mark.parametrize("source", get_args(get_type_hints(PairSettings)["source"]))
def test_every_source_of_pairs_is_built(tmp_path: Path, source: str) -> None:
    built = session_with(tmp_path, source).services.read().source
    assert type(built).__name__ == ADAPTERS[source][1]


def test_pairs_without_a_column_of_queries_are_refused() -> None:
    dataset = {**attrs.asdict(PairSettings()), "train": "pairs.jsonl", "query": []}
    with pytest.raises(UsageError, match=r"dataset.query: expected a column or a list of columns, got \[\]"):
        file_pairs(dataset)


@pytest.mark.parametrize("kind", get_args(get_type_hints(IndexSettings)["kind"]))
def test_every_kind_of_index_is_built(tmp_path: Path, kind: str) -> None:
    assert session_with(tmp_path).gateways.index(kind).build is not None


@pytest.mark.parametrize("model", [None, "saved"])
def test_a_tuner_is_built_for_the_experiments_encoder_and_for_a_saved_one(
    tmp_path: Path, model: str | None
) -> None:
    session = session_with(tmp_path)
    settings = unstructure(session.experiment)["encoders"]["tiny"]
    saved = None if model is None else str(tiny_model("bert"))
    tuner = session.gateways.tuner(settings, saved)
    recipe = session.experiment.train
    assert tuner.preflight(recipe, 64).trainable > 0


def test_a_tracker_is_built_for_a_group(tmp_path: Path) -> None:
    session_with(tmp_path).gateways.tracker("models/seed-0").close()


def test_both_sides_of_an_encoder_are_built(tmp_path: Path) -> None:
    table = {"tiny": {"model": str(tiny_model("bert")), "query_prefix": "ask: ", "prefix": "answer: "}}
    roles = session_with(tmp_path, encoders=table).roles("tiny")
    assert (roles.query.identity["prefix"], roles.document.identity["prefix"]) == ("ask: ", "answer: ")

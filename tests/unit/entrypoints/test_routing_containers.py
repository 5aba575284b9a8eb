"""Every provider of routing is built, with every adapter that an experiment can name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from dependency_injector import providers

from fusionapp.domain.errors import DatasetError
from fusionapp.entrypoints.containers import Gateways
from fusionapp.entrypoints.experiment.structure import structure_any
from fusionapp.entrypoints.routing.containers import RoutingGateways, RoutingServices
from fusionapp.entrypoints.routing.schema import AnswerSettings, RoutingExperiment
from fusionapp.entrypoints.routing.session import RoutingSession, open_routing

DATASETS: dict[str, dict[str, Any]] = {
    "files": {"train": "train.jsonl"},
    "huggingface": {"name": "arena"},
}
SHARED = {"spool", "store", "runs", "executor", "progress", "charts"}
ELSEWHERE = {"prices", "probes", *set(Gateways.providers) - SHARED}
"""Those that may be none, take arguments, or are a classification's alone."""


def names(container: type[RoutingGateways] | type[RoutingServices]) -> Iterator[str]:
    for name, provider in container.providers.items():
        if not isinstance(provider, providers.Configuration | providers.DependenciesContainer):
            yield name


def session_with(tmp_path: Path, source: str = "files", **dataset: Any) -> RoutingSession:
    experiment = structure_any(
        {
            "task": {"kind": "route"},
            "dataset": {"source": source, **DATASETS[source], **dataset},
            "storage": {"root": str(tmp_path / "store")},
            "encoders": {"lexical": {"adapter": "lexical"}},
        }
    )
    assert isinstance(experiment, RoutingExperiment)
    return open_routing(experiment, tmp_path / "runs", quiet=True)


@pytest.fixture
def session(tmp_path: Path) -> RoutingSession:
    return session_with(tmp_path)


@pytest.mark.parametrize("name", sorted(set(names(RoutingGateways)) - ELSEWHERE))
def test_every_gateway_is_built(session: RoutingSession, name: str) -> None:
    assert getattr(session.gateways, name)() is not None


@pytest.mark.parametrize("name", sorted(names(RoutingServices)))
def test_every_service_is_built(session: RoutingSession, name: str) -> None:
    assert callable(getattr(session.services, name)())


def test_a_tracker_is_built_for_a_group(session: RoutingSession) -> None:
    session.gateways.tracker("models").close()


@pytest.mark.parametrize("source", get_args(get_type_hints(AnswerSettings)["source"]))
def test_every_source_of_answers_is_built(tmp_path: Path, source: str) -> None:
    adapters = {"files": "FileAnswerSource", "huggingface": "HubAnswerSource"}
    built = session_with(tmp_path, source).services.read().source
    assert type(built).__name__ == adapters[source]


def test_no_prices_are_none_and_given_ones_are_read(tmp_path: Path) -> None:
    assert session_with(tmp_path).gateways.prices() is None
    table = '{"a": {"input_price_usd_per_mtok": 1, "output_price_usd_per_mtok": 2}}'
    (tmp_path / "p.json").write_text(table, encoding="utf-8-sig")  # as some editors save it
    priced = session_with(tmp_path, prices=str(tmp_path / "p.json"))
    assert priced.gateways.prices().models["a"].output == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "p.json: no such file"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "expected an object from model to prices"),
    ],
    ids=["missing", "cut short", "too deep", "a list"],
)
def test_prices_that_are_none_are_refused(tmp_path: Path, content: str | None, said: str) -> None:
    if content is not None:
        (tmp_path / "p.json").write_text(content, encoding="utf-8")
    with pytest.raises(DatasetError, match=said):
        session_with(tmp_path, prices=str(tmp_path / "p.json")).gateways.prices()

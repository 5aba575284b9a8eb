"""What an encoder puts before a query and before a document, and which controls are left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from small_search import pair_rows, write_pairs
from tiny_models import tiny_model

from fusionapp.entrypoints.experiment.structure import structure_as, unstructure
from fusionapp.entrypoints.retrieval.contest import find_skipped
from fusionapp.entrypoints.retrieval.roles import role_tables
from fusionapp.entrypoints.retrieval.schema import RetrievalExperiment
from fusionapp.entrypoints.retrieval.session import RetrievalSession, open_retrieval
from fusionapp.entrypoints.retrieval.steps import read_pairs


def table(**settings: Any) -> dict[str, Any]:
    """An encoder's table, resolved."""
    content = {
        "task": {"kind": "retrieve"},
        "dataset": {"train": "p.jsonl"},
        "encoders": {"tuned-one": {"model": "m"}, "a": settings},
    }
    resolved: dict[str, Any] = unstructure(structure_as(content, RetrievalExperiment))["encoders"]["a"]
    return resolved


def prefixes(tables: dict[str, dict[str, Any]]) -> tuple[Any, Any]:
    return tables["query"]["prefix"], tables["document"]["prefix"]


def test_the_cards_prefixes_stand_where_none_was_asked_for() -> None:
    query, document = prefixes(role_tables(table(model="e5-large")))
    assert (query, document) == ("query: ", "passage: ")


def test_what_was_asked_for_goes_before_the_card_and_may_be_nothing() -> None:
    asked = table(model="e5-large", query_prefix="", prefix="doc: ")
    assert prefixes(role_tables(asked)) == ("", "doc: ")


def test_a_model_without_a_card_is_asked_itself() -> None:
    tables = role_tables(table(model="somebody/model"))
    assert prefixes(tables) == (None, None)
    assert [tables[role]["side"] for role in ("query", "document")] == ["query", "document"]


def test_a_tuned_directory_takes_the_place_of_model_and_revision_and_keeps_the_prefixes() -> None:
    tables = role_tables(table(model="e5-large", revision="abc"), "runs/s/models/seed-0/model")
    for role in ("query", "document"):
        assert (tables[role]["model"], tables[role]["revision"]) == ("runs/s/models/seed-0/model", None)
    assert prefixes(tables) == ("query: ", "passage: ")


def test_no_adapter_but_transformers_is_told_of_sides() -> None:
    for role in role_tables(table(adapter="openai", model="m", dim=8)).values():
        assert "side" not in role
        assert "query_prefix" not in role


def session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, base_url: str, **evaluate: Any
) -> RetrievalSession:
    monkeypatch.chdir(tmp_path)
    write_pairs(tmp_path / "p.jsonl", pair_rows(30))
    served = {"adapter": "openai", "model": "m", "base_url": base_url, "api_key_env": "SERVER_KEY", "dim": 8}
    experiment = {
        "task": {"kind": "retrieve"},
        "dataset": {"train": "p.jsonl"},
        "encoders": {"tiny": {"model": str(tiny_model("bert"))}, "served": served},
        "evaluate": evaluate,
    }
    opened = open_retrieval(structure_as(experiment, RetrievalExperiment), tmp_path / "runs", quiet=True)
    read_pairs(opened)
    return opened


@pytest.mark.parametrize(
    ("key", "baselines", "skipped"),
    [
        (None, True, {"served": "skipped: no key (SERVER_KEY is not set)"}),
        ("   ", True, {"served": "skipped: no key (SERVER_KEY is not set)"}),
        ("sk-of-a-test", True, {}),
        (None, False, {}),
    ],
)
def test_a_server_is_left_out_only_without_its_key_and_where_controls_are_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str | None, baselines: bool, skipped: dict[str, str]
) -> None:
    if key is None:
        monkeypatch.delenv("SERVER_KEY", raising=False)
    else:
        monkeypatch.setenv("SERVER_KEY", key)
    opened = session(tmp_path, monkeypatch, "https://api.example.org/v1", baselines=baselines)
    assert find_skipped(opened, ["validation", "test"]) == skipped

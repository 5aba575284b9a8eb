"""A retrieval's controls behind a server: skipped without a key, ranked with one, replayed when it is gone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from command_line import call
from fakes.embedding_server import embedding_server
from small_search import write_search

SERVED = """
[encoders.served]
adapter = "openai"
model = "m"
base_url = "{base_url}"
api_key_env = "SERVER_KEY"
retries = 0
"""


def rows(report: Any) -> set[str]:
    return {row["name"] for row in report["leaderboard"]}


def test_a_control_behind_a_server_is_skipped_asked_and_replayed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SERVER_KEY", raising=False)
    with embedding_server() as server:
        write_search(tmp_path, SERVED.format(base_url=server.base_url) + "dim = 8\n")
        sets = ("--set", "train.seeds=1", "--set", "train.epochs=1")
        call(tmp_path, "train", "s.toml", *sets)
        without = call(tmp_path, "evaluate", "s.toml", *sets, "--json")
        assert without.json["skipped"] == {"served": "skipped: no key (SERVER_KEY is not set)"}
        assert "served" not in rows(without.json)
        assert "skipped: no key" in call(tmp_path, "evaluate", "s.toml", *sets).out
        assert server.seen == []

        monkeypatch.setenv("SERVER_KEY", "sk-of-a-test")
        ranked = call(tmp_path, "evaluate", "s.toml", *sets, "--overwrite", "--json").json
        assert "served" in rows(ranked)
        assert ranked["verdicts"]["served"] in {"better", "worse", "not separable"}
        assert ranked["skipped"] == {}

    monkeypatch.delenv("SERVER_KEY")
    replayed = call(tmp_path, "evaluate", "s.toml", *sets, "--overwrite", "--json").json
    assert replayed["controls"]["served"] == ranked["controls"]["served"]
    assert replayed["skipped"] == {}


def test_a_key_that_comes_later_is_noticed_without_overwrite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SERVER_KEY", raising=False)
    with embedding_server() as server:
        write_search(tmp_path, SERVED.format(base_url=server.base_url))
        sets = ("--set", "train.seeds=1", "--set", "train.epochs=1")
        call(tmp_path, "train", "s.toml", *sets)
        assert "served" not in rows(call(tmp_path, "evaluate", "s.toml", *sets, "--json").json)
        monkeypatch.setenv("SERVER_KEY", "sk-of-a-test")
        assert "served" in rows(call(tmp_path, "evaluate", "s.toml", *sets, "--json").json)

"""The key reaches the server that it is for, and nothing else."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from typing import Any

import attrs
import pytest
from fakes.embedding_server import EmbeddingServer, Reply, embedding_server, refuses

from fusionapp.adapters.openai_compatible.encoder import OpenAIEncoder
from fusionapp.domain.errors import UpstreamError, UsageError

KEY = "sk-never-to-be-seen-0123456789"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddingServer]:
    monkeypatch.setenv("SERVER_KEY", KEY)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with embedding_server() as running:
        yield running


def encoder(server: EmbeddingServer, **settings: Any) -> OpenAIEncoder:
    defaults: dict[str, Any] = {"api_key_env": "SERVER_KEY", "dim": 8, "retries": 0}
    return OpenAIEncoder("m", base_url=server.base_url, **(defaults | settings))


def embed(tested: OpenAIEncoder) -> None:
    try:
        tested.encode(["rain"], tested.plan(1))
    finally:
        tested.close()


def test_the_key_that_is_named_is_sent(server: EmbeddingServer) -> None:
    embed(encoder(server))

    assert server.seen[0].headers["authorization"] == f"Bearer {KEY}"


def test_openais_key_is_not_sent_to_another_server(server: EmbeddingServer) -> None:
    embed(encoder(server, api_key_env=None))

    assert KEY not in str(server.seen)


def test_a_key_that_is_missing_is_missed_before_anything_is_sent(
    server: EmbeddingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SERVER_KEY")

    with pytest.raises(UsageError, match="the environment variable SERVER_KEY is not set"):
        embed(encoder(server))
    assert server.seen == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(server: EmbeddingServer, status: int) -> None:
    with embedding_server() as other:
        server.always = refuses("moved", status, Location=f"{other.base_url}/embeddings")

        with pytest.raises(UpstreamError, match=f"a redirect to {other.base_url}, which is not followed"):
            embed(encoder(server))

        assert other.seen == []
        assert len(server.seen) == 1


def test_no_traceback_and_no_message_holds_the_key_though_the_server_repeats_it(
    server: EmbeddingServer,
) -> None:
    def echo(reply: Reply) -> Reply:
        return attrs.evolve(reply, status=401, content={"error": {"message": f"unknown key {KEY}"}})

    server.always = echo
    tested = encoder(server)

    with pytest.raises(UpstreamError, match=r"unknown key \[key\]") as failed:
        embed(tested)

    printed = "".join(
        traceback.TracebackException.from_exception(failed.value, capture_locals=False).format()
    )
    assert KEY not in printed


def test_a_redirect_that_holds_the_key_is_told_without_it(server: EmbeddingServer) -> None:
    server.always = refuses("moved", 307, Location=f"http://127.0.0.1:9/{KEY}/embeddings")

    with pytest.raises(UpstreamError) as failed:
        embed(encoder(server))
    assert KEY not in str(failed.value)


def test_nothing_that_an_encoder_says_of_itself_holds_the_key(server: EmbeddingServer) -> None:
    tested = encoder(server)
    embed(tested)

    assert KEY not in f"{tested!r} {tested.identity} {tested.choices} {vars(tested)}"
    assert any("SERVER_KEY" in line for line in tested.choices)


def test_a_proxy_of_the_environment_does_not_come_between_this_machine_and_itself(
    server: EmbeddingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")

    embed(encoder(server))

    assert len(server.seen) == 1

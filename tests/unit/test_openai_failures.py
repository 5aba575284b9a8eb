"""What an answer other than success means, and what of it is told."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from fusionapp.adapters.openai_compatible.failures import FaultError, RefusedError, failure, server_message
from fusionapp.domain.errors import UpstreamError

NOW = datetime(2026, 11, 27, 12, 0, 0, tzinfo=UTC)
URL = "https://example.org/v1/embeddings"


def failed(status: int, body: bytes = b"why", **headers: str) -> UpstreamError:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return failure(status, named, body, URL, NOW)


@pytest.mark.parametrize("status", [408, 409, 424, 429, 500, 502, 503, 504, 599])
def test_what_may_pass_is_a_fault(status: int) -> None:
    error = failed(status, retry_after="7")

    assert isinstance(error, FaultError)
    assert error.wait == 7.0
    assert str(error) == f"{status}: why"


@pytest.mark.parametrize("status", [400, 413, 422])
def test_what_the_request_is_to_blame_for_is_a_refusal(status: int) -> None:
    assert isinstance(failed(status), RefusedError)


@pytest.mark.parametrize(("status", "hint"), [(401, "key"), (403, "key"), (404, "base_url"), (405, "")])
def test_what_neither_waiting_nor_splitting_mends_is_final(status: int, hint: str) -> None:
    error = failed(status)

    assert type(error) is UpstreamError
    assert hint in str(error)


def test_an_account_without_credit_is_not_waited_for() -> None:
    body = json.dumps({"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}})

    assert type(failed(429, body.encode())) is UpstreamError


@pytest.mark.parametrize(
    ("location", "told"),
    [
        ("https://other.org/v1/embeddings", "https://other.org/v1,"),
        ("/v2/embeddings", "https://example.org/v2,"),
        ("https://user:secret@other.org/v1/embeddings?token=secret", "https://other.org/v1,"),
        ("https://[::1", "an address that cannot be parsed"),
    ],
)
def test_a_redirect_is_final_and_names_where_it_leads(location: str, told: str) -> None:
    error = failed(307, b"", location=location)

    assert type(error) is UpstreamError
    assert told in str(error)
    assert "base_url" in str(error)
    assert "secret" not in str(error)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"error": {"message": "too long", "code": 3}}, "too long"),
        ({"error": "Model is overloaded", "error_type": "Overloaded"}, "Model is overloaded"),
        ({"object": "error", "message": "no such model"}, "no such model"),
        ({"detail": "Not Found"}, "Not Found"),
        ({"detail": [{"loc": ["body"], "msg": "bad"}]}, '[{"loc": ["body"], "msg": "bad"}]'),
        ({"error": {}}, '{"error": {}}'),
    ],
)
def test_a_servers_message_is_found_where_servers_put_it(said: Any, told: str) -> None:
    assert server_message(json.dumps(said).encode()) == told


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"<h1>Bad\r\n  Gateway</h1>", "<h1>Bad Gateway</h1>"),
        (b"\x1b[2J\x07 beep", "[2J beep"),
        (b"", "(no message)"),
        (b"\xff", "\ufffd"),
        (b"x" * 999, "x" * 300 + "..."),
    ],
)
def test_a_message_is_one_short_line_that_no_terminal_obeys(body: bytes, told: str) -> None:
    assert server_message(body) == told

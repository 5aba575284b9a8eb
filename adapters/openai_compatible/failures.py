"""What can go wrong between a request and its answer, by what is to be done about it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import urljoin, urlsplit, urlunsplit

from fusionapp.adapters.openai_compatible.waiting import read_retry_after
from fusionapp.domain.errors import UpstreamError

_PASSING = (408, 409, 424, 429)
"""Beside 5xx: text-embeddings-inference answers 424 where its backend failed, which it does under load."""

_REFUSED = (400, 413, 422)
_HINTS = {
    401: "check the key that api_key_env names",
    403: "check that the key may use this model",
    404: "check model and base_url, which mostly ends in /v1",
}
_MOST_CHARACTERS = 300


class FaultError(UpstreamError):
    """Something that may pass by itself: the request is repeated.

    Attributes:
        wait: seconds that the server asked to be left alone; None where it did not say.
    """

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


class RefusedError(UpstreamError):
    """The request as it is will never be answered: too many texts, a text too long, a wrong parameter."""


def failure(status: int, headers: Mapping[str, str], body: bytes, url: str, now: datetime) -> UpstreamError:
    """What an answer other than success means.

    Args:
        status: of the answer.
        headers: of the answer, found by lower-case names.
        body: its beginning.
        url: where the request went.
        now: with a time zone; what a Retry-After that is a date is counted from.
    """
    said = f"{status}: {server_message(body)}"
    if 300 <= status < 400:
        return UpstreamError(_redirected(status, headers.get("location", ""), url))
    if status == 429 and b"insufficient_quota" in body:
        return UpstreamError(f"{said}; the account has no credit left, which waiting does not mend")
    if status in _PASSING or status >= 500:
        return FaultError(said, read_retry_after(headers.get("retry-after"), now))
    if status in _REFUSED:
        return RefusedError(said)
    return UpstreamError(f"{said}; {_HINTS[status]}" if status in _HINTS else said)


def server_message(body: bytes) -> str:
    """What a body says to a person, on one line: OpenAI's ``error.message``, or what others put in its place."""
    text = body.decode("utf-8", "replace")
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        said = text
    for key in ("error", "message", "detail"):
        if isinstance(said, dict) and said.get(key):
            said = said[key]
    plain = said if isinstance(said, str) else json.dumps(said)
    line = " ".join("".join(c if c.isprintable() else " " for c in plain).split())
    return (line if len(line) <= _MOST_CHARACTERS else f"{line[:_MOST_CHARACTERS]}...") or "(no message)"


def _redirected(status: int, location: str, url: str) -> str:
    try:
        parts = urlsplit(urljoin(url, location))
        host = parts.netloc.rpartition("@")[2]
        target = urlunsplit((parts.scheme, host, parts.path.removesuffix("/embeddings"), "", ""))
    except ValueError:
        target = "an address that cannot be parsed"
    return (
        f"{status}, a redirect to {target}, which is not followed, because the key and the texts would go along; "
        "set base_url to it if you trust it"
    )

"""How long to wait before a request is repeated."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST = 300.0
"""Seconds: where a server asks for more, giving up beats a job that seems to hang."""

_FIRST, _MOST = 0.5, 30.0


def backoff(attempt: int, chance: float) -> float:
    """Seconds before the attempt after number `attempt`: doubling from 0.5 to 30, the upper half by chance.

    Args:
        attempt: how many attempts have failed, from 1.
        chance: uniform in [0, 1), so that requests that failed together do not come back together.
    """
    whole = min(_MOST, _FIRST * 2.0 ** min(attempt - 1, 16))
    return whole * (0.5 + chance / 2)


def read_retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds that a ``Retry-After`` header (RFC 9110, 10.2.3) asks for; None where it does not say.

    Args:
        value: seconds, or an HTTP date.
        now: with a time zone.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.replace(".", "", 1).isdigit():
        return float(text)
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - now).total_seconds())

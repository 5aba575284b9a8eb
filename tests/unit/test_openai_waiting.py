"""How long is waited before a request is repeated."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from fusionapp.adapters.openai_compatible.waiting import backoff, read_retry_after

NOW = datetime(2026, 11, 27, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(("attempt", "whole"), [(1, 0.5), (2, 1.0), (3, 2.0), (7, 30.0), (9999, 30.0)])
def test_the_pause_doubles_to_half_a_minute(attempt: int, whole: float) -> None:
    assert backoff(attempt, 0.0) == whole / 2
    assert whole / 2 < backoff(attempt, 0.5) < backoff(attempt, 0.999) <= whole


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("3", 3.0),
        (" 0.25 ", 0.25),
        ("Fri, 27 Nov 2026 12:00:09 GMT", 9.0),
        ("Fri, 27 Nov 2026 12:00:09 -0000", 9.0),
        ("Fri, 27 Nov 2026 13:00:09 +0100", 9.0),
        ("Fri, 27 Nov 2026 11:00:00 GMT", 0.0),
        (None, None),
        ("", None),
        ("soon", None),
        ("-3", None),
        ("٣", None),
        ("1.2.3", None),
        ("Fri, 99 Nov 2026 12:00:09 GMT", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(value: str | None, seconds: float | None) -> None:
    assert read_retry_after(value, NOW) == seconds

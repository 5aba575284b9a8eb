"""What a command changes in its process is undone after each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from command_line import untouched_logging


@pytest.fixture(autouse=True)
def _logging() -> Iterator[None]:
    with untouched_logging():
        yield

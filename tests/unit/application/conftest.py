"""A house of fakes for each test."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.house import BuildHouse, House


@pytest.fixture
def build(tmp_path: Path) -> BuildHouse:
    """Builds a house over given splits."""
    return lambda splits: House(splits, tmp_path)

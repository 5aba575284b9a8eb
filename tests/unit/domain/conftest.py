"""The two array libraries that every formula is held to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

Convert = Callable[[Any], Any]


@pytest.fixture(params=["numpy", "torch"])
def array(request: pytest.FixtureRequest) -> Convert:
    """Makes an array of the library under test from numbers."""
    if request.param == "numpy":
        return np.asarray
    return lambda values: torch.as_tensor(np.asarray(values))

"""Settings that explain themselves: an attrs field whose meaning `fusionapp schema` prints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs


def setting(meaning: str, default: Any = attrs.NOTHING, check: Callable[..., Any] | None = None) -> Any:
    """An attrs field with its meaning, its default (a callable makes a fresh one) and an attrs validator."""
    if callable(default):
        return attrs.field(factory=default, validator=check, metadata={"meaning": meaning})
    return attrs.field(default=default, validator=check, metadata={"meaning": meaning})

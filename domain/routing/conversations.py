"""The first turn of the user in a conversation, as chat logs write them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import cast

_USERS = ("user", "human")


def first_turn(value: object) -> str | None:
    """The user's first words.

    Args:
        value: a list of turns, or one in JSON. A turn is {"role": "user", "content": TEXT}, {"from": "human",
            "value": TEXT} or, where all turns are the user's, a text. TEXT may be a list of parts, of which those
            with a "text" count.

    Returns:
        The text; None where no turn is the user's, or it is no conversation.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    if not isinstance(value, list | tuple):
        return None
    return next((text for turn in value if (text := _said(turn)) is not None), None)


def _said(turn: object) -> str | None:
    if isinstance(turn, str):
        return turn
    if not isinstance(turn, Mapping):
        return None
    role = turn.get("role", turn.get("from"))
    if role not in _USERS:
        return None
    return _text(turn.get("content", turn.get("value")))


def _text(content: object) -> str | None:
    if isinstance(content, str):
        return content
    if not isinstance(content, list | tuple):
        return None
    parts = [cast("Mapping[str, object]", part).get("text") for part in content if isinstance(part, Mapping)]
    texts = [part for part in parts if isinstance(part, str)]
    return "\n".join(texts) if texts else None

"""What an encoder puts before a query and before a document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fusionapp.domain.catalogue import find_card


def role_tables(table: Mapping[str, Any], model: str | None = None) -> dict[str, dict[str, Any]]:
    """An encoder's table once for queries and once for documents.

    What was asked for (``query_prefix``, ``prefix``) goes first, then the card's prefixes for retrieval, then what
    the adapter finds with the model; transformers are told which side of the search they read.

    Args:
        table: an ``[encoders.NAME]`` table, resolved.
        model: a directory whose weights are read instead; it carries no card.
    """
    plain = {key: value for key, value in table.items() if key != "query_prefix"}
    if "query_prefix" not in table:  # an adapter that puts nothing before a text
        return {"query": dict(plain), "document": dict(plain)}
    card = find_card(str(table["model"]))
    prefixes = {
        "query": _first(table["query_prefix"], card.query_prefix if card else None),
        "document": _first(table["prefix"], card.passage_prefix if card else None),
    }
    changed = {} if model is None else {"model": model, "revision": None}
    sides = table["adapter"] == "huggingface"
    return {
        role: {**plain, **changed, "prefix": prefix, **({"side": role} if sides else {})}
        for role, prefix in prefixes.items()
    }


def _first(*options: str | None) -> str | None:
    return next((option for option in options if option is not None), None)

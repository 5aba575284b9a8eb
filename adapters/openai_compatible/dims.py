"""How wide a model's vectors are, as far as it is known without asking."""

from __future__ import annotations

from fusionapp.domain.catalogue import EncoderCard
from fusionapp.domain.errors import UsageError

_OPENAI = {
    "text-embedding-3-small": 1536,
    "text-embedding-3-large": 3072,
    "text-embedding-ada-002": 1536,
}


def dim_problems(dim: int | None, dimensions: int | None) -> list[str]:
    """What is wrong with these two settings together, one line each, starting with the key."""
    if dim is not None and dimensions is not None and dim != dimensions:
        return [f"dim: {dim} is not the {dimensions} that `dimensions` asks the server for; leave dim out"]
    return []


def known_dim(
    model: str, dim: int | None, dimensions: int | None, card: EncoderCard | None
) -> tuple[int, str] | None:
    """The width and who says so: what was asked for, OpenAI's own models, the model's card; else None.

    Raises:
        UsageError: it is not at least 1.
    """
    for key, asked in (("dim", dim), ("dimensions", dimensions)):
        if asked is not None and asked < 1:
            raise UsageError(f"{key}: {asked} must be at least 1")
        if asked is not None:
            return asked, "as asked"
    if model in _OPENAI:
        return _OPENAI[model], "as OpenAI's documentation says"
    return (card.dim, "the model's card") if card is not None else None

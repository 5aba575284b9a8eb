"""Settings that encoders of local models have in common, checked before anything is read."""

from __future__ import annotations

from collections.abc import Sequence

from fusionapp.adapters.model_files.source import ModelSource
from fusionapp.domain.errors import UsageError

DTYPES = ("auto", "float32", "bfloat16", "float16")


def check_choice(key: str, value: str, known: Sequence[str]) -> None:
    """Refuse a value that is not among those that are known.

    Raises:
        UsageError: it is not.
    """
    if value not in known:
        raise UsageError(f"{key}: {value!r} is unknown; use one of {', '.join(known)}")


def check_batch_tokens(batch_tokens: int | None) -> None:
    """Refuse a batch without room for a token.

    Raises:
        UsageError: it has none.
    """
    if batch_tokens is not None and batch_tokens < 1:
        raise UsageError(f"batch_tokens: {batch_tokens} must be at least 1")


def check_revision(source: ModelSource, revision: str | None) -> None:
    """Refuse a revision of what has none.

    Raises:
        UsageError: the model is a local directory.
    """
    if revision is not None and source.directory is not None:
        raise UsageError(f"revision: {source.model} is a local directory and has no revisions; leave it out")


def default_batch_tokens(gpu: bool) -> int:
    """Tokens in a batch: a CPU's cache holds few, a GPU wants many."""
    return 16384 if gpu else 1024

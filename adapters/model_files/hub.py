"""Fetching a model's files from the Hugging Face hub, with every failure as one line and its remedy."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path

from fusionapp.domain.errors import FusionAppError, ResourceError, UpstreamError, UsageError, first_line


def fetch(model: str, patterns: Sequence[str], revision: str | None, cache_dir: str | None) -> Path:
    """Bring the files that match into the cache and return the snapshot's directory.

    HF_TOKEN, HF_HOME and HF_HUB_OFFLINE are honoured by `huggingface_hub`. Without a network the cached
    snapshot is returned, whatever it holds: the caller checks for the files it needs.

    Args:
        model: hub id.
        patterns: file patterns, as `huggingface_hub.snapshot_download` takes them.
        revision: branch, tag or commit; None is the default branch.
        cache_dir: the hub's cache; None is its default.

    Raises:
        UsageError: there is no such model or revision.
        UpstreamError: the model is gated, or the hub cannot be reached.
        ResourceError: the disk is full.
    """
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(model, revision=revision, cache_dir=cache_dir, allow_patterns=list(patterns))
        )
    except Exception as error:
        raise explain(error, model, revision) from error


def explain(error: Exception, model: str, revision: str | None) -> FusionAppError:
    """What a failure of the hub means for a user, in one line that says what to do."""
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return UpstreamError(
            f"model: {model} is gated; accept its licence at https://huggingface.co/{model} "
            "and set HF_TOKEN to a token of that account"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return UsageError(f"revision: {model} has no revision {revision!r} on the hub")
    if isinstance(error, errors.RepositoryNotFoundError):
        return UsageError(
            f"model: the hub has no {model}, or it is private; check the name, or set HF_TOKEN to a token "
            "that may read it"
        )
    if isinstance(error, errors.HFValidationError):
        return UsageError(f"model: {model!r} is not a hub id: {first_line(error)}")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ResourceError(
            f"disk: no room for {model}; free some, or point MODEL_CACHE_DIR at a larger disk"
        )
    return UpstreamError(
        f"model: {model} is not in the cache and the hub cannot be reached ({first_line(error)}); check the "
        "network, or give a local directory"
    )

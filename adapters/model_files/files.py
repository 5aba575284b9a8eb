"""A model's files, fetched from the hub as late as they are needed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from fusionapp.adapters.model_files import hub
from fusionapp.adapters.model_files.checkpoint import (
    CONFIGURATION,
    PICKLED,
    SAFETENSORS,
    hash_files,
    tokenizer_files,
    weight_files,
)
from fusionapp.adapters.model_files.source import ModelSource
from fusionapp.domain.errors import CorruptArtifactError


class ModelFiles:
    """Where a model's configuration, tokenizer and weights stand on this machine."""

    def __init__(self, source: ModelSource, revision: str | None, cache_dir: str | None, code: bool) -> None:
        """Look at nothing yet; `code` is whether the model's own Python files belong to it."""
        self._source = source
        self._revision = revision
        self._cache_dir = cache_dir
        self._code = code

    @cached_property
    def directory(self) -> Path:
        """Where configuration and tokenizer stand, and where the weights will.

        Raises:
            UsageError: the hub has no such model.
            UpstreamError: it cannot be fetched.
        """
        if self._source.directory is not None:
            return self._source.directory
        code = ("*.py",) if self._code else ()
        return hub.fetch(self._source.model, (*CONFIGURATION, *code), self._revision, self._cache_dir)

    @cached_property
    def weights(self) -> Sequence[Path]:
        """The files of the weights, all of them there.

        Raises:
            UpstreamError: they cannot be fetched.
            CorruptArtifactError: there are none, or one is missing.
        """
        if self._source.directory is None:
            for patterns in (SAFETENSORS, PICKLED):
                # The snapshot's folder is named by its commit: weights come from the configuration's own.
                hub.fetch(self._source.model, patterns, self.directory.name, self._cache_dir)
                if weight_files(self.directory):
                    break
        found = weight_files(self.directory)
        if not found:
            raise CorruptArtifactError(
                f"model: no weights in {self.directory}; it needs model.safetensors or pytorch_model.bin"
            )
        return found

    @cached_property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of every file that can change a vector, by name."""
        code = sorted(self.directory.glob("*.py")) if self._code else []
        configuration = [self.directory / "config.json", *tokenizer_files(self.directory)]
        return hash_files([*self.weights, *configuration, *code])

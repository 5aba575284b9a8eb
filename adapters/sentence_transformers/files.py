"""A pipeline's files, fetched from the hub where they are not on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from fusionapp.adapters.model_files import hub
from fusionapp.adapters.model_files.checkpoint import (
    CONFIGURATION,
    PICKLED,
    SAFETENSORS,
    hash_files,
    weight_files,
)
from fusionapp.adapters.model_files.source import ModelSource
from fusionapp.adapters.sentence_transformers.pipeline import Pipeline, read_pipeline
from fusionapp.domain.errors import CorruptArtifactError

_READ = frozenset({".json", ".txt", ".model", ".safetensors", ".bin"})
"""Suffixes of what sentence-transformers loads; a README, code and other formats beside it change no vector."""

_WEIGHTED = frozenset(
    {
        "Transformer",
        "StaticEmbedding",
        "WordEmbeddings",
        "WeightedLayerPooling",
        "CNN",
        "LSTM",
        "Dense",
        "LayerNorm",
    }
)
"""Modules that have weights."""


class PipelineFiles:
    """Where a pipeline's files stand on this machine."""

    def __init__(self, source: ModelSource, revision: str | None, cache_dir: str | None) -> None:
        """Look at nothing yet."""
        self._source = source
        self._revision = revision
        self._cache_dir = cache_dir

    @cached_property
    def pipeline(self) -> Pipeline:
        """What the pipeline is; its weights may not be here yet.

        Raises:
            UsageError: there is no such pipeline, or it asks for code.
            UpstreamError: it cannot be fetched.
            CorruptArtifactError: its files are not what they should be.
        """
        directory = self._source.directory
        if directory is None:
            directory = hub.fetch(self._source.model, CONFIGURATION, self._revision, self._cache_dir)
        return read_pipeline(directory)

    @cached_property
    def directory(self) -> Path:
        """The pipeline's directory, weights included.

        Raises:
            UpstreamError: weights cannot be fetched.
            CorruptArtifactError: a module's weights are not there.
        """
        pipeline = self.pipeline
        root = pipeline.directory
        for module in pipeline.modules:
            if module.kind not in _WEIGHTED:
                continue
            for names in (SAFETENSORS, PICKLED) if self._source.directory is None else ():
                patterns = [(module.folder.relative_to(root) / name).as_posix() for name in names]
                # The snapshot's folder is named by its commit: weights come from the configuration's own.
                hub.fetch(self._source.model, patterns, root.name, self._cache_dir)
                if weight_files(module.folder):
                    break
            if not weight_files(module.folder):
                raise CorruptArtifactError(
                    f"model: no weights of the {module.kind} in {module.folder}; fetch the model again"
                )
        return root

    @cached_property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of every file that is loaded, by its path in the directory."""
        root = self.directory
        return {
            path.relative_to(root).as_posix(): hash_files([path])[path.name]
            for path in sorted(set(self._read()))
        }

    def _read(self) -> Iterator[Path]:
        for folder in {self.pipeline.directory, *(module.folder for module in self.pipeline.modules)}:
            # The directory itself may hold the model in other formats, in folders that are not loaded.
            found = list(folder.iterdir() if folder == self.pipeline.directory else folder.rglob("*"))
            safe = {path.parent for path in found if path.suffix == ".safetensors"}
            for path in found:
                unread = path.suffix == ".bin" and path.parent in safe
                if path.suffix in _READ and path.is_file() and not unread:
                    yield path

"""A saved sentence-transformers pipeline as an encoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fusionapp.adapters.model_files.settings import (
    DTYPES,
    check_batch_tokens,
    check_choice,
    check_revision,
    default_batch_tokens,
)
from fusionapp.adapters.model_files.source import find_source
from fusionapp.adapters.sentence_transformers.files import PipelineFiles
from fusionapp.adapters.torch_shared.loaded import Loaded
from fusionapp.adapters.torch_shared.shard_encoder import ShardEncoder
from fusionapp.application.ports.encoder import Encoder
from fusionapp.domain.embeddings import EmbeddingShape, Encoding, ExecutionPlan, Json
from fusionapp.domain.errors import CorruptArtifactError, UsageError
from fusionapp.domain.unicode import mend_surrogates

if TYPE_CHECKING:
    from fusionapp.adapters.sentence_transformers.counting import Counter
    from fusionapp.adapters.sentence_transformers.loading import LoadedPipeline


class SentenceTransformersEncoder(Encoder):
    """Runs every module of a pipeline; its output is the one view.

    Files are looked for, and fetched from the hub, when identity, shape or choices are first asked for; weights
    are loaded by the first `encode`. A pipeline that names code of its own is refused.

    Args:
        model: alias, hub id or local directory.
        prefix: what stands before each text; None for the card's, else the pipeline's default prompt.
        max_length: most tokens of a text, prefix and special tokens included; None for the pipeline's.
        normalize: scale vectors to length 1, whatever the pipeline ends in.
        dtype: compute dtype; "auto" is float32 on a CPU, where not every module has been measured in bfloat16.
        device: "auto", "cpu" or a CUDA device.
        revision: branch, tag or commit on the hub.
        cache_dir: the hub's cache.
        batch_tokens: most tokens in a batch, padding included.

    Raises:
        UsageError: an unknown model or dtype, or a revision of a local directory.
    """

    def __init__(
        self,
        model: str,
        *,
        prefix: str | None = None,
        max_length: int | None = None,
        normalize: bool = False,
        dtype: str = "auto",
        device: str = "auto",
        revision: str | None = None,
        cache_dir: str | None = None,
        batch_tokens: int | None = None,
    ) -> None:
        check_choice("dtype", dtype, DTYPES)
        check_batch_tokens(batch_tokens)
        self._source = find_source(model, packaged=revision is None)
        check_revision(self._source, revision)
        self._files = PipelineFiles(self._source, revision, cache_dir)
        self._asked_prefix = prefix
        self._asked_length = max_length
        self._normalize = normalize
        self._dtype = dtype
        self._device = device
        self._batch_tokens = batch_tokens
        self._loaded: Loaded[LoadedPipeline] = Loaded()
        self._encode_shard = ShardEncoder()

    @property
    def identity(self) -> Mapping[str, Json]:
        """Hashes of every file that is loaded, and every setting that changes a vector."""
        return {
            "adapter": "sentence_transformers",
            "version": 1,
            "files": self._files.hashes,
            "modules": [module.kind for module in self._files.pipeline.modules],
            "prefix": self._prefix,
            "max_length": self._max_length,
            "normalize": self._normalize,
            "dtype": self._dtype,
        }

    @property
    def shape(self) -> EmbeddingShape:
        """(1, dim), from the modules' configuration; a module that is not known here has the weights loaded."""
        return EmbeddingShape(layers=1, dim=self._dim)

    @property
    def choices(self) -> Sequence[str]:
        """Where the pipeline is from, what it is made of, and how it is run."""
        plan = self.plan(1)
        limit = "any length" if self._max_length is None else f"{self._max_length} tokens"
        return (
            self._source.reason,
            f"modules: {', '.join(module.kind for module in self._files.pipeline.modules)}",
            f"prefix: {self._prefix!r}",
            f"max length: {limit}",
            f"normalize: {'yes, as asked' if self._normalize else 'as the pipeline ends'}",
            f"dtype: {plan.dtype}",
            f"device: {plan.device}, {plan.attention} attention, {plan.batch_tokens} tokens a batch",
        )

    def plan(self, rows: int) -> ExecutionPlan:
        """Choose device, dtype, threads and batch budget; the number of rows plays no part."""
        import torch

        from fusionapp.adapters.torch_shared.device import automatic_dtype, resolve_device

        device = resolve_device(self._device)
        gpu = device.type == "cuda"
        automatic = str(automatic_dtype(device)).removeprefix("torch.") if gpu else "float32"
        return ExecutionPlan(
            device=str(device),
            dtype=automatic if self._dtype == "auto" else self._dtype,
            attention=self._files.pipeline.attention,
            threads=torch.get_num_threads(),
            batch_tokens=self._batch_tokens or default_batch_tokens(gpu),
        )

    def count_tokens(self, texts: Sequence[str]) -> Sequence[int]:
        """Tokens of each text before truncation, prefix and special tokens included; words without a tokenizer."""
        return self._counter.count(texts)

    def exceeds(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """(texts,) True where a text is longer than `max_length`."""
        return self._counter(texts).truncated

    def measure(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """`count_tokens` and `exceeds` for one tokenisation."""
        return self._counter.measure(texts)

    def encode(
        self,
        texts: Sequence[str],
        plan: ExecutionPlan,
        on_batch: Callable[[int, int], None] | None = None,
    ) -> Encoding:
        """Embed texts; see the port.

        Raises:
            UpstreamError: the model cannot be fetched.
            ResourceError: the weights, or one text alone, do not fit in memory.
        """
        from fusionapp.adapters.sentence_transformers.loading import CountedText

        loaded = self._load(plan)
        tokens = self._counter(texts)
        # The pipeline tokenises for itself: what is batched by length are texts, not ids.
        counted: list[Any] = [
            CountedText(mend_surrogates(text), len(ids)) for text, ids in zip(texts, tokens.ids, strict=True)
        ]
        return self._encode_shard(loaded.views, tokens, self.shape, plan, on_batch, sequences=counted)

    def __getstate__(self) -> dict[str, Any]:
        """Settings and what was read of the files; another process loads weights and tokenizer of its own."""
        return {key: value for key, value in self.__dict__.items() if key != "_counter"}

    def close(self) -> None:
        """Free the weights, and the GPU memory that torch keeps for them."""
        self._loaded.free()

    def _load(self, plan: ExecutionPlan) -> LoadedPipeline:
        from fusionapp.adapters.torch_shared.device import resolve_device

        resolve_device(plan.device)
        how = (plan.device, plan.dtype, plan.attention)
        return self._loaded.get(how, lambda: self._load_pipeline(plan))

    def _load_pipeline(self, plan: ExecutionPlan) -> LoadedPipeline:
        from fusionapp.adapters.sentence_transformers.loading import LoadedPipeline

        pipeline = LoadedPipeline(
            self._files.directory,
            plan,
            prompt=self._prefix,
            max_length=self._max_length,
            normalize=self._normalize,
            all_layers=self._files.pipeline.mixes_layers,
            no_padding=self._files.pipeline.reads_padding,
        )
        known = self._files.pipeline.dim
        if known is not None and pipeline.dim != known:
            raise CorruptArtifactError(
                f"model: {self._source.model} gives {pipeline.dim} numbers, not {known} as its files say; "
                "fetch the model again"
            )
        return pipeline

    @cached_property
    def _dim(self) -> int:
        known = self._files.pipeline.dim
        return self._load(self.plan(1)).dim if known is None else known

    @cached_property
    def _counter(self) -> Counter:
        from fusionapp.adapters.sentence_transformers.counting import load_counter

        return load_counter(self._files.pipeline, self._prefix, self._max_length)

    @property
    def _prefix(self) -> str:
        """Asked for, else the card's (E5 knows no default prompt), else the pipeline's default prompt."""
        if self._asked_prefix is not None:
            return self._asked_prefix
        card = self._source.card
        return (card.prefix if card else "") or self._files.pipeline.prompt

    @property
    def _max_length(self) -> int | None:
        pipeline = self._files.pipeline
        asked = self._asked_length
        if asked is not None and pipeline.positions is not None and asked > pipeline.positions:
            raise UsageError(
                f"max_length: {asked} is more than the {pipeline.positions} positions that the model has"
            )
        return asked or pipeline.max_length

"""A transformers model as an encoder."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import attrs

from fusionapp.adapters.huggingface.decisions import Decisions, Wishes, decide
from fusionapp.adapters.huggingface.files import ModelFiles
from fusionapp.adapters.huggingface.packed_attention import PACKED
from fusionapp.adapters.huggingface.rules import Layers
from fusionapp.adapters.huggingface.source import ModelSource, find_source
from fusionapp.application.ports.encoder import Encoder
from fusionapp.domain.embeddings import EmbeddingShape, Encoding, ExecutionPlan, Json
from fusionapp.domain.errors import UsageError

if TYPE_CHECKING:
    from fusionapp.adapters.huggingface.loading import LoadedModel
    from fusionapp.adapters.huggingface.tokenization import TextTokenizer

_DTYPES = ("auto", "float32", "bfloat16", "float16")
_CPU_TOKENS = {"float32": 1024, "bfloat16": 2048, "float16": 1024}
_SMALL_MODEL_TOKENS, _LARGE_MODEL_TOKENS = 65536, 16384
"""Tokens a batch on a GPU, for models up to 1024 wide and for wider ones."""


class HuggingFaceEncoder(Encoder):
    """Pools the hidden states of a frozen transformers model.

    Files are looked for, and fetched from the hub, when identity, shape or choices are first asked for;
    weights are loaded by the first `encode`. None and "auto" leave a choice to the model and the hardware.

    Args:
        model: alias, hub id or local directory.
        layers: indices into the hidden states (0 is the token embedding, -1 the last layer), or "all".
        pooling: "auto", "mean", "cls", "last" or "latent_attention".
        prefix: what stands before each text.
        max_length: most tokens of a text, prefix and special tokens included.
        normalize: scale each layer's vector to length 1.
        padding_side: "auto", "left" or "right"; vectors are the same but for rounding.
        dtype: compute dtype, "auto", "float32", "bfloat16" or "float16".
        device: "auto", "cpu" or a CUDA device.
        revision: branch, tag or commit on the hub.
        trust_remote_code: run the code in the model's repository; needs `revision` to be a commit.
        cache_dir: the hub's cache.
        batch_tokens: most tokens in a batch, padding included.

    Raises:
        UsageError: an unknown model or dtype, or remote code that is not pinned.
    """

    def __init__(
        self,
        model: str,
        *,
        layers: Layers = (-1,),
        pooling: str = "auto",
        prefix: str | None = None,
        max_length: int | None = None,
        normalize: bool | None = None,
        padding_side: str = "auto",
        dtype: str = "auto",
        device: str = "auto",
        revision: str | None = None,
        trust_remote_code: bool = False,
        cache_dir: str | None = None,
        batch_tokens: int | None = None,
    ) -> None:
        if dtype not in _DTYPES:
            raise UsageError(f"dtype: {dtype!r} is unknown; use one of {', '.join(_DTYPES)}")
        if batch_tokens is not None and batch_tokens < 1:
            raise UsageError(f"batch_tokens: {batch_tokens} must be at least 1")
        self._source: ModelSource = find_source(model, packaged=revision is None)
        if trust_remote_code and not re.fullmatch("[0-9a-f]{40}", revision or ""):
            raise UsageError(
                "trust_remote_code: needs revision = the 40-digit commit whose code you have read; "
                f"got {revision!r}"
            )
        if revision is not None and self._source.directory is not None:
            raise UsageError(f"revision: {model} is a local directory and has no revisions; leave it out")
        self._wishes = Wishes(layers, pooling, prefix, max_length, normalize, padding_side)
        self._dtype = dtype
        self._device = device
        self._trust = trust_remote_code
        self._files = ModelFiles(self._source, revision, cache_dir, code=trust_remote_code)
        self._batch_tokens = batch_tokens
        self._loaded: tuple[tuple[str, str, str], LoadedModel] | None = None
        self._most_tokens: int | None = None

    @property
    def identity(self) -> Mapping[str, Json]:
        """Hashes of weights, configuration and tokenizer, and every setting that changes a vector."""
        return self._identity

    @property
    def shape(self) -> EmbeddingShape:
        """(layers, dim), read from the model's configuration."""
        return EmbeddingShape(layers=len(self._decisions.layers), dim=self._decisions.architecture.dim)

    @property
    def choices(self) -> Sequence[str]:
        """Where the model is from, how it is used and on what, each with its reason."""
        plan = self.plan(1)
        code = []
        if self._decisions.architecture.own_code:
            used = "runs, as asked" if self._trust else "is never run; transformers has its own"
            code = [f"code: the model's repository brings code, which {used}"]
        why = "as asked" if self._dtype != "auto" else "the fastest here without visible loss"
        return (
            self._source.reason,
            *self._decisions.reasons,
            *code,
            f"dtype: {plan.dtype} ({why})",
            f"device: {plan.device}, {plan.attention} attention, {plan.batch_tokens} tokens a batch",
        )

    def plan(self, rows: int) -> ExecutionPlan:
        """Choose device, dtype, attention path, threads and batch budget; the number of rows plays no part.

        A CPU is fastest with 512 to 2,048 tokens a batch, which stay in its cache; a GPU wants many.
        """
        import torch

        from fusionapp.adapters.huggingface.loading import supports_sdpa
        from fusionapp.adapters.torch_shared.device import automatic_dtype, resolve_device

        device = resolve_device(self._device)
        dtype = str(automatic_dtype(device)).removeprefix("torch.") if self._dtype == "auto" else self._dtype
        architecture = self._decisions.architecture
        attention = "sdpa" if supports_sdpa(architecture.model_type) else "eager"
        if architecture.soft_capped:
            attention = "eager"
        elif architecture.model_type in PACKED:
            attention = "packed"
        tokens = _CPU_TOKENS[dtype]
        if device.type == "cuda":
            tokens = _SMALL_MODEL_TOKENS if architecture.dim <= 1024 else _LARGE_MODEL_TOKENS
        return ExecutionPlan(
            device=str(device),
            dtype=dtype,
            attention=attention,
            threads=torch.get_num_threads(),
            batch_tokens=self._batch_tokens or tokens,
        )

    def count_tokens(self, texts: Sequence[str]) -> Sequence[int]:
        """Tokens of each text before truncation, prefix and special tokens included."""
        return self._tokenizer.count(texts)

    def encode(
        self,
        texts: Sequence[str],
        plan: ExecutionPlan,
        on_batch: Callable[[int, int], None] | None = None,
    ) -> Encoding:
        """Embed texts; see the port. A text of which the tokenizer makes no token counts as failed.

        Raises:
            UpstreamError: the model cannot be fetched.
            ResourceError: the weights, or one text alone, do not fit in memory.
        """
        from fusionapp.adapters.huggingface.shard import ShardRun, encode_rows

        shape = (self.shape.layers, self.shape.dim)
        loaded = self._load(plan)
        tokens = self._tokenizer(texts)
        budget = min(plan.batch_tokens, self._most_tokens or plan.batch_tokens)
        run = ShardRun(
            loaded.views,
            tokens.ids,
            shape,
            skip=0 if self._decisions.pool_prefix else self._tokenizer.prefix_length,
            budget=budget,
            threads=plan.threads if plan.device == "cpu" else 1,
        )
        if budget < plan.batch_tokens:
            run.notes.append(f"{budget} tokens a batch, after an earlier shard ran out of memory")
        encode_rows(run, plan.dtype, loaded.in_float32, on_batch)
        if run.budget < budget:
            self._most_tokens = run.budget
        return Encoding(
            embeddings=run.vectors,
            truncated=tokens.truncated,
            failed=~run.done,
            tokens=int(run.lengths.sum()),
            padded_tokens=run.padded_tokens,
            notes=tuple(run.notes),
        )

    def close(self) -> None:
        """Free the weights, and the GPU memory that torch keeps for them."""
        if self._loaded is None:
            return
        self._loaded = None
        import torch

        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _load(self, plan: ExecutionPlan) -> LoadedModel:
        from fusionapp.adapters.huggingface.loading import LoadedModel, loading_errors
        from fusionapp.adapters.torch_shared.device import resolve_device

        resolve_device(plan.device)
        key = (plan.device, plan.dtype, plan.attention)
        if self._loaded is None or self._loaded[0] != key:
            self.close()
            self._files.weights  # noqa: B018  # fetched and complete before transformers looks for them
            with loading_errors(self._source.model):
                self._loaded = (key, LoadedModel(self._files.directory, self._decisions, plan, self._trust))
        return self._loaded[1]

    @cached_property
    def _tokenizer(self) -> TextTokenizer:
        from fusionapp.adapters.huggingface.tokenization import load_tokenizer

        return load_tokenizer(self._files.directory, self._decisions, self._trust)

    @cached_property
    def _decisions(self) -> Decisions:
        decisions = decide(self._files.directory, self._source.card, self._wishes)
        architecture = decisions.architecture
        if not architecture.native and not self._trust:
            raise UsageError(
                f"model: transformers has no code for {architecture.model_type!r}; use another model, or set "
                "trust_remote_code = true and revision = the commit whose code you have read"
            )
        if architecture.foreign_code and self._trust:
            raise UsageError(
                f"trust_remote_code: {self._source.model} runs the code of another repository, which no "
                "revision pins; that is refused"
            )
        return decisions

    @cached_property
    def _identity(self) -> Mapping[str, Json]:
        used = attrs.asdict(self._decisions, filter=attrs.filters.exclude("architecture", "reasons"))
        kind = self._decisions.architecture.kind
        return {
            "adapter": "huggingface",
            "version": 1,
            "files": self._files.hashes,
            **used,
            "layers": list(self._decisions.layers),
            "attention": {"encoder": "bidirectional", "decoder": "causal"}.get(kind, "the model's own"),
            "dtype": self._dtype,
            "quantization": "none",
            "truncation": "right",
            "remote_code": self._trust,
        }

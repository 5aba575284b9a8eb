"""A transformers model as an encoder."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.adapters.huggingface.decisions import Decisions, Wishes, decide
from fusionapp.adapters.huggingface.rules import Layers
from fusionapp.adapters.huggingface.sentence_config import Side
from fusionapp.adapters.model_files.files import ModelFiles
from fusionapp.adapters.model_files.settings import DTYPES, check_batch_tokens, check_choice, check_revision
from fusionapp.adapters.model_files.source import ModelSource, find_source
from fusionapp.adapters.torch_shared.loaded import Loaded
from fusionapp.adapters.torch_shared.shard_encoder import ShardEncoder
from fusionapp.application.ports.encoder import Encoder
from fusionapp.domain.embeddings import EmbeddingShape, Encoding, ExecutionPlan, Json
from fusionapp.domain.errors import UsageError

if TYPE_CHECKING:
    from fusionapp.adapters.huggingface.loading import LoadedModel
    from fusionapp.adapters.model_files.tokenization import OnTruncate, TextTokenizer, Tokens

_QUANTIZATIONS = ("none", "int8", "nf4")


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
        device: "auto", "cpu", a CUDA device, or "spread" over all devices there are.
        revision: branch, tag or commit on the hub.
        trust_remote_code: run the code in the model's repository; needs `revision` to be a commit.
        cache_dir: the hub's cache.
        batch_tokens: most tokens in a batch, padding included.
        on_truncate: what becomes of a text longer than `max_length`: "warn" cuts and counts it, "error" refuses
            it, "chunk" takes the mean over windows.
        quantization: "none", or "int8" or "nf4" weights by bitsandbytes.
        token_folder: where encoders of this run that have the same tokenizer share their tokens.
        compile: whether layers go through `torch.compile`.
        side: "query" or "document": read texts by the prefix that the model has for that side of a search.

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
        on_truncate: OnTruncate = "warn",
        quantization: str = "none",
        compile: bool = False,
        token_folder: str | None = None,
        side: Side | None = None,
    ) -> None:
        check_choice("dtype", dtype, DTYPES)
        check_choice("quantization", quantization, _QUANTIZATIONS)
        check_batch_tokens(batch_tokens)
        self._source: ModelSource = find_source(model, packaged=revision is None)
        if trust_remote_code and not re.fullmatch("[0-9a-f]{40}", revision or ""):
            raise UsageError(
                "trust_remote_code: needs revision = the 40-digit commit whose code you have read; "
                f"got {revision!r}"
            )
        check_revision(self._source, revision)
        self._wishes = Wishes(layers, pooling, prefix, max_length, normalize, padding_side, side)
        self._dtype = dtype
        self._device = device
        self._trust = trust_remote_code
        self._files = ModelFiles(self._source, revision, cache_dir, code=trust_remote_code)
        self._batch_tokens = batch_tokens
        self._on_truncate = on_truncate
        self._quantization = quantization
        self._compile = compile
        self._token_folder = None if token_folder is None else Path(token_folder)
        self._loaded: Loaded[LoadedModel] = Loaded()
        self._encode_shard = ShardEncoder()

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
        """Choose device, dtype, attention path, threads and batch budget, and whether to compile."""
        from fusionapp.adapters.huggingface.planning import choose_plan

        return choose_plan(
            self._decisions.architecture,
            device=self._device,
            dtype=self._dtype,
            batch_tokens=self._batch_tokens,
            compiled=self._compile,
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
        return self._encode_tokens(self._tokenize(texts), plan, on_batch)

    def stream(
        self,
        parts: Iterable[Sequence[str]],
        plan: ExecutionPlan,
        on_batch: Callable[[int, int], None] | None = None,
    ) -> Iterator[Encoding]:
        """Embed part after part; on a GPU, the next ones are tokenised and launched meanwhile."""
        if not plan.device.startswith("cuda"):
            return super().stream(parts, plan, on_batch)
        from fusionapp.adapters.huggingface.streaming import stream_to_gpu

        self._load(plan)
        return stream_to_gpu(
            self._tokenize, lambda tokens: self._encode_tokens(tokens, plan, on_batch), parts
        )

    def exceeds(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """(texts,) True where a text is longer than `max_length`; nowhere where texts are cut into windows."""
        return self._tokenizer.exceeds(texts)

    def measure(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """`count_tokens` and `exceeds` for one tokenisation."""
        return self._tokenizer.measure(texts)

    def _encode_tokens(
        self, tokens: Tokens, plan: ExecutionPlan, on_batch: Callable[[int, int], None] | None
    ) -> Encoding:
        from fusionapp.adapters.huggingface.windows import average_windows

        loaded = self._load(plan)
        encoding = self._encode_shard(
            loaded.views,
            tokens,
            self.shape,
            plan,
            on_batch,
            skip=0 if self._decisions.pool_prefix else self._tokenizer.prefix_length,
            in_float32=loaded.in_float32 if loaded.widens else None,
        )
        if tokens.first is None:
            return encoding
        vectors, done = average_windows(
            np.asarray(encoding.embeddings), ~encoding.failed, tokens.first, self._decisions.normalize
        )
        return attrs.evolve(encoding, embeddings=vectors, failed=~done)

    def __getstate__(self) -> dict[str, Any]:
        """Settings and decisions; another process loads weights and tokenizer of its own."""
        left = ("_tokenizer", "_tokenize")
        return {key: value for key, value in self.__dict__.items() if key not in left}

    def close(self) -> None:
        """Free the weights, and the GPU memory that torch keeps for them."""
        self._loaded.free()

    def _load(self, plan: ExecutionPlan) -> LoadedModel:
        from fusionapp.adapters.huggingface.loading import SPREAD, LoadedModel, loading_errors
        from fusionapp.adapters.torch_shared.device import resolve_device

        if plan.device != SPREAD:
            resolve_device(plan.device)

        def load() -> LoadedModel:
            self._files.weights  # noqa: B018  # fetched and complete before transformers looks for them
            with loading_errors(self._source.model):
                return LoadedModel(
                    self._files.directory, self._decisions, plan, self._trust, self._quantization
                )

        return self._loaded.get((plan.device, plan.dtype, plan.attention, plan.compile), load)

    @cached_property
    def _tokenize(self) -> Callable[[Sequence[str]], Tokens]:
        if self._token_folder is None:
            return self._tokenizer
        from fusionapp.adapters.huggingface.shared_tokens import SharedTokens

        return SharedTokens(self._token_folder, self._tokenizer.fingerprint(), self._tokenizer)

    @cached_property
    def _tokenizer(self) -> TextTokenizer:
        from fusionapp.adapters.huggingface.text_tokenizer import load_tokenizer

        return load_tokenizer(self._files.directory, self._decisions, self._trust, self._on_truncate)

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
        architecture = self._decisions.architecture
        kind = "encoder" if architecture.bidirectional else architecture.kind
        return {
            "adapter": "huggingface",
            "version": 1,
            "files": self._files.hashes,
            **used,
            "layers": list(self._decisions.layers),
            "attention": {"encoder": "bidirectional", "decoder": "causal"}.get(kind, "the model's own"),
            "dtype": self._dtype,
            "quantization": self._quantization,
            "truncation": "windows" if self._on_truncate == "chunk" else "right",
            "remote_code": self._trust,
        }

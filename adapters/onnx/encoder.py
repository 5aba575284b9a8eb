"""An exported graph as an encoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fusionapp.adapters.model_files.exported import CARD, GRAPH, TOKENIZER, ExportedEncoder, read_exported
from fusionapp.adapters.model_files.settings import check_batch_tokens, default_batch_tokens
from fusionapp.adapters.onnx.inspection import inspect_graph
from fusionapp.adapters.torch_shared.shard_encoder import ShardEncoder
from fusionapp.application.ports.encoder import Encoder
from fusionapp.domain.embeddings import EmbeddingShape, Encoding, ExecutionPlan, Json
from fusionapp.domain.errors import CorruptArtifactError, UsageError

if TYPE_CHECKING:
    from fusionapp.adapters.model_files.tokenization import TextTokenizer
    from fusionapp.adapters.onnx.session import GraphSession


class OnnxEncoder(Encoder):
    """Runs a directory that `fusionapp export encoder` wrote; what it decides was decided when it was written.

    The directory's files are compared with their hashes, and the graph is looked through, before anything of them
    is loaded; the graph itself is loaded by the first `encode`.

    Args:
        model: the directory.
        device: "auto", "cpu" or a CUDA device.
        batch_tokens: most tokens in a batch, padding included.
        choose_providers: onnxruntime's providers for a device, or an error where it does not have them.

    Raises:
        UsageError: there is no such directory.
    """

    def __init__(
        self,
        model: str,
        *,
        device: str = "auto",
        batch_tokens: int | None = None,
        choose_providers: Callable[[str], Sequence[str]],
    ) -> None:
        check_batch_tokens(batch_tokens)
        self._directory = Path(model).expanduser()
        if not self._directory.is_dir():
            raise UsageError(f"model: {model!r} is no directory; write one with `fusionapp export encoder`")
        self._device = device
        self._batch_tokens = batch_tokens
        self._choose_providers = choose_providers
        self._loaded: tuple[str, GraphSession] | None = None
        self._encode_shard = ShardEncoder(knows_memory=False)

    @property
    def identity(self) -> Mapping[str, Json]:
        """Hashes of graph and tokenizer, and what they do not say of themselves."""
        card = self._card
        return {
            "adapter": "onnx",
            "version": 1,
            "files": card.files,
            "source": card.source,
            "layers": card.layers,
            "pooling": card.pooling,
            "prefix": card.prefix,
            "pool_prefix": card.pool_prefix,
            "max_length": card.max_length,
            "normalize": card.normalize,
            "lower_case": card.lower_case,
            "quantization": "int8" if card.int8 else "none",
        }

    @property
    def shape(self) -> EmbeddingShape:
        """(layers, dim), as the directory says."""
        return EmbeddingShape(layers=len(self._card.layers), dim=self._card.dim)

    @property
    def choices(self) -> Sequence[str]:
        """What the directory holds and on what it is run."""
        card, plan = self._card, self.plan(1)
        return (
            f"model: {card.model}, exported to {self._directory}",
            f"layers: {', '.join(map(str, card.layers))}, {card.dim} wide",
            f"pooling: {card.pooling}",
            f"prefix: {card.prefix!r}",
            f"max length: {card.max_length} tokens",
            f"normalize: {'yes' if card.normalize else 'no'}",
            f"dtype: {'int8 weights' if card.int8 else 'float32'}",
            f"device: {plan.device}, {plan.batch_tokens} tokens a batch",
        )

    def plan(self, rows: int) -> ExecutionPlan:
        """Choose device, threads and batch budget; the number of rows plays no part."""
        import torch

        device = self._resolved
        gpu = device.startswith("cuda")
        return ExecutionPlan(
            device=device,
            dtype="float32",
            threads=torch.get_num_threads(),
            batch_tokens=self._batch_tokens or default_batch_tokens(gpu),
        )

    def count_tokens(self, texts: Sequence[str]) -> Sequence[int]:
        """Tokens of each text before truncation, prefix and special tokens included."""
        return self._tokenizer.count(texts)

    def exceeds(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """(texts,) True where a text is longer than the max length."""
        return self._tokenizer.exceeds(texts)

    def measure(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """`count_tokens` and `exceeds` for one tokenisation."""
        return self._tokenizer.measure(texts)

    def encode(
        self,
        texts: Sequence[str],
        plan: ExecutionPlan,
        on_batch: Callable[[int, int], None] | None = None,
    ) -> Encoding:
        """Embed texts; see the port.

        Raises:
            CorruptArtifactError: the directory does not hold what was written there.
            ResourceError: the graph, or one text alone, does not fit in memory.
        """
        session = self._load(plan)
        return self._encode_shard(session.views, self._tokenizer(texts), self.shape, plan, on_batch)

    def __getstate__(self) -> dict[str, Any]:
        """Settings; another process verifies and loads the directory for itself."""
        state = {**self.__dict__, "_loaded": None}
        for key in ("_tokenizer", "_card"):
            state.pop(key, None)
        return state

    def close(self) -> None:
        """Free the graph."""
        self._loaded = None

    def _load(self, plan: ExecutionPlan) -> GraphSession:
        from fusionapp.adapters.onnx.session import GraphSession

        if self._loaded is None or self._loaded[0] != plan.device:
            self.close()
            card = self._card
            providers = self._choose_providers(plan.device)
            self._loaded = (plan.device, GraphSession(self._directory, card, plan, providers))
        return self._loaded[1]

    @cached_property
    def _card(self) -> ExportedEncoder:
        card = read_exported(self._directory)
        unknown = inspect_graph(self._directory / GRAPH) - card.files.keys()
        if unknown:
            raise CorruptArtifactError(
                f"{self._directory / CARD}: does not name {min(unknown)}, where the graph keeps tensors; "
                "export the encoder again"
            )
        return card

    @cached_property
    def _resolved(self) -> str:
        """The device; "auto" is a GPU where both onnxruntime and torch have one."""
        from fusionapp.adapters.onnx.session import import_runtime
        from fusionapp.adapters.torch_shared.device import resolve_device

        if (
            self._device == "auto"
            and "CUDAExecutionProvider" not in import_runtime().get_available_providers()
        ):
            return "cpu"
        return str(resolve_device(self._device))

    @cached_property
    def _tokenizer(self) -> TextTokenizer:
        from tokenizers import Tokenizer

        from fusionapp.adapters.model_files.tokenization import TextTokenizer

        card = self._card
        try:
            backend = Tokenizer.from_file(str(self._directory / TOKENIZER))
        except Exception as error:  # the Rust library raises bare exceptions
            raise CorruptArtifactError(
                f"{self._directory / TOKENIZER}: not a tokenizer ({error}); export the encoder again"
            ) from error
        return TextTokenizer(backend, card.prefix, card.max_length, lower_case=card.lower_case)

"""A transformer that is tuned together with the heads that read it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Literal

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusionapp.adapters.huggingface.tuning.chunks import Chunk, cut_chunks, enough_tokens
from fusionapp.adapters.huggingface.tuning.gradcache import backward
from fusionapp.adapters.huggingface.tuning.opening import open_trainable
from fusionapp.adapters.huggingface.tuning.optimizers import EncoderOptimizer, group_weights
from fusionapp.adapters.huggingface.tuning.preflight import check_encoder
from fusionapp.adapters.huggingface.tuning.saved import save_tuned
from fusionapp.adapters.huggingface.tuning.settings import EncoderSettings
from fusionapp.adapters.huggingface.tuning.token_table import TokenTable, token_table
from fusionapp.adapters.huggingface.tuning.trainable import TrainableEncoder
from fusionapp.adapters.torch_shared.device import automatic_dtype, resolve_device
from fusionapp.adapters.torch_shared.tunable import TunableEncoder
from fusionapp.application.ports.encoder_tuner import Preflight
from fusionapp.domain.embeddings import Json
from fusionapp.domain.errors import UsageError
from fusionapp.domain.normalization import l2_normalize
from fusionapp.domain.recipe import EncoderTuning, TrainingRecipe


def open_joint(name: str, settings: EncoderSettings, recipe: TrainingRecipe, seed: int) -> HuggingFaceTunable:
    """Open an encoder of an experiment to be tuned by a recipe.

    Args:
        name: of the encoder, for messages.
        settings: which encoder, and how its texts are read.
        recipe: the method, and how it is stepped.
        seed: of the adapters' initialisation and of dropout.

    Raises:
        UsageError: the method does not fit the model, or the last layer is not among those that are read: what is
            above them would get no gradient.
        UpstreamError: the model cannot be fetched.
        ResourceError: the weights do not fit in memory.
        CorruptArtifactError: the files are not a whole model.
    """
    device = resolve_device(recipe.device)
    chosen = automatic_dtype(device)
    # float16 gradients vanish without a scaled loss; a GPU without bfloat16 trains in float32.
    dtype: Literal["float32", "bfloat16"] = "bfloat16" if chosen is torch.bfloat16 else "float32"
    encoder = open_trainable(
        settings,
        recipe.finetuning,
        dtype=dtype,
        device=str(device),
        dropout=recipe.tuning.dropout,
        activation_checkpointing=recipe.tuning.activation_checkpointing,
        seed=seed,
    )
    if encoder.decisions.architecture.layers not in encoder.decisions.layers:
        raise UsageError(
            f"encoders.{name}.layers: {list(encoder.decisions.layers)} leave the last layer out, and what stands "
            "above the highest of them would not be tuned; add -1"
        )
    return HuggingFaceTunable(name, encoder, recipe.tuning, chosen if dtype == "bfloat16" else torch.float32)


class HuggingFaceTunable(TunableEncoder):
    """A trainable transformer, stepped by its own optimiser."""

    def __init__(
        self, name: str, encoder: TrainableEncoder, tuning: EncoderTuning, dtype: torch.dtype
    ) -> None:
        """Set up; `open_joint` opens the encoder."""
        self._name, self._encoder, self._tuning, self._dtype = name, encoder, tuning, dtype
        self._optimizer = EncoderOptimizer(
            tuning.optimizer, group_weights(encoder.trained()), tuning.weight_decay
        )
        self._tables: dict[str, TokenTable] = {}

    @property
    def preflight(self) -> Preflight:
        """What is trained, seen to get a gradient."""
        rows = len(self._tables["train"].lengths) if "train" in self._tables else 0
        return check_encoder(self._encoder, rows, self._tuning.learning_rate)

    def read(self, split: str, texts: Sequence[str]) -> None:
        """See `TunableEncoder.read`."""
        place = f"{self._name}: {split}"
        self._tables[split] = token_table(lambda some: self._encoder.tokenize(some, "document"), texts, place)

    def backward(
        self, split: str, rows: NDArray[np.int64], loss: Callable[[Tensor], tuple[Tensor, Tensor]]
    ) -> Tensor:
        """See `TunableEncoder.backward`; beyond `batch_tokens`, texts are computed twice, as GradCache does."""
        self._encoder.train()
        table = self._tables[split]
        chunks = self._cut(table.lengths[rows])
        order = torch.from_numpy(np.concatenate([batch for chunk in chunks for batch in chunk]))
        order = order.to(self._encoder.device)
        parts = [lambda chunk=chunk: self._views(table, rows, chunk) for chunk in chunks]

        def in_order(found: Tensor) -> tuple[Tensor, Tensor]:
            views = torch.empty_like(found)
            views[order] = found
            value, gradient = loss(views)
            return value, gradient[order]

        return backward(parts, in_order, self._encoder.device)

    def step(self, rate: float) -> float:
        """See `TunableEncoder.step`."""
        trained = self._optimizer.parameters
        gradients = [weight.grad for weight in trained if weight.grad is not None]
        length = torch.nn.utils.get_total_norm(gradients)
        if not torch.isfinite(length):
            self._optimizer.zero_grad()
            return float(length)
        if self._tuning.clip is not None and length > self._tuning.clip:
            torch.nn.utils.clip_grads_with_norm_(trained, self._tuning.clip, length)
        self._optimizer.step(rate)
        return float(length)

    @torch.no_grad()
    def embed(self, split: str) -> Tensor:
        """See `TunableEncoder.embed`."""
        self._encoder.eval()
        table = self._tables[split]
        rows = np.arange(len(table.lengths))
        shape = (len(rows), len(self._encoder.decisions.layers), self._encoder.dim)
        found = torch.empty(shape, device=self._encoder.device)
        for chunk in self._cut(table.lengths):
            places = torch.from_numpy(np.concatenate(chunk)).to(found.device)
            found[places] = self._views(table, rows, chunk)
        self._encoder.train()
        return found

    def state(self) -> Mapping[str, Tensor]:
        """See `TunableEncoder.state`."""
        return self._encoder.trained_state()

    def load(self, state: Mapping[str, Tensor]) -> None:
        """See `TunableEncoder.load`."""
        self._encoder.load_trained_state(state)

    def save(self, directory: str) -> Mapping[str, Json]:
        """See `TunableEncoder.save`."""
        decisions = self._encoder.decisions
        self._encoder.settings = attrs.evolve(self._encoder.settings, normalize=decisions.normalize)
        save_tuned(self._encoder, directory)
        # What the model's name decided, its directory must be told.
        return {
            "pooling": decisions.pooling,
            "prefix": decisions.prefix,
            "max_length": decisions.max_length,
            "normalize": decisions.normalize,
            "padding_side": decisions.padding_side,
            "revision": None,
        }

    def _cut(self, lengths: NDArray[np.int64]) -> list[Chunk]:
        return cut_chunks(lengths, self._tuning.batch_tokens, enough_tokens(self._encoder.device))

    def _views(self, table: TokenTable, rows: NDArray[np.int64], chunk: Chunk) -> Tensor:
        layers = self._encoder.decisions.layers
        with self._autocast():
            views = torch.cat(
                [
                    self._encoder.views([table[row] for row in rows[places].tolist()], layers)
                    for places in chunk
                ]
            )
        return l2_normalize(views) if self._encoder.decisions.normalize else views

    def _autocast(self) -> AbstractContextManager[None]:
        # One block for a chunk; see `PoolEmbeddings`.
        return torch.autocast(self._encoder.device.type, self._dtype, enabled=self._dtype != torch.float32)

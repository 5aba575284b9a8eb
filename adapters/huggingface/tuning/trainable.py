"""An encoder whose weights are trained: token ids in, embeddings with gradients out."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fusionapp.adapters.huggingface.decisions import Decisions
from fusionapp.adapters.huggingface.sentence_config import Side
from fusionapp.adapters.huggingface.tuning.settings import EncoderSettings
from fusionapp.adapters.huggingface.views import first_position, pad
from fusionapp.adapters.model_files.tokenization import TextTokenizer, Tokens
from fusionapp.domain.errors import CorruptArtifactError
from fusionapp.domain.finetuning import FineTuning
from fusionapp.domain.pooling import PoolingKind, pool


@attrs.frozen
class Trained:
    """The parameters that are trained, by name, in the model's order.

    Attributes:
        matrices: two-dimensional weights within the transformer layers, adapters included: what Muon may step.
        others: biases, norms, embeddings.
    """

    matrices: Mapping[str, nn.Parameter]
    others: Mapping[str, nn.Parameter]

    def __iter__(self) -> Iterator[nn.Parameter]:
        """Every trained parameter, matrices first."""
        yield from self.matrices.values()
        yield from self.others.values()


class TrainableEncoder(nn.Module):
    """A transformer with its pooling, made by `open_trainable`.

    Trained weights are float32; mixed precision is the trainer's autocast. Not normalised: the loss does that.

    Attributes:
        body: the transformers model, wrapped by PEFT where it has adapters.
        settings: which encoder this is.
        finetuning: what of it is trained.
        decisions: how it is read; `decisions.prefix` is the document's.
        prefixes: what stands before a query, and before a document.
        adapted: names of the modules that have an adapter.
        source: the directory that the weights were read from.
        bidirectional: whether a decoder was made to see the whole text.
        dim: width of an embedding.
    """

    def __init__(
        self,
        body: nn.Module,
        settings: EncoderSettings,
        finetuning: FineTuning,
        decisions: Decisions,
        tokenizers: Mapping[Side, TextTokenizer],
        prefixes: Mapping[Side, str],
        source: Path,
        adapted: Sequence[str] = (),
        bidirectional: bool = False,
    ) -> None:
        super().__init__()
        self.body = body
        self.settings = settings
        self.finetuning = finetuning
        self.decisions = decisions
        self.prefixes = dict(prefixes)
        self.adapted = tuple(adapted)
        self.source = source
        self.bidirectional = bidirectional
        self.dim = decisions.architecture.dim
        self._tokenizers = dict(tokenizers)
        plain = inner_body(body)
        self._takes_positions = "position_ids" in inspect.signature(plain.forward).parameters
        self._first_position = first_position(plain)
        config: Any = plain.config
        self._pad = config.pad_token_id if isinstance(config.pad_token_id, int) else 0

    def tokenize(self, texts: Sequence[str], side: Side) -> Tokens:
        """Ids of each text: special tokens, the side's prefix, the text cut to the side's length."""
        return self._tokenizers[side](texts)

    def skip(self, side: Side) -> int:
        """Leading tokens of a side's texts that take no part in the pooling."""
        return 0 if self.decisions.pool_prefix else self._tokenizers[side].prefix_length

    def forward(self, ids: Sequence[NDArray[np.int32]], side: Side = "document") -> Tensor:
        """Embed token ids, as `tokenize` gives them, in one batch padded on the right.

        Returns:
            (texts, dim) float32 on the model's device, with gradients, not normalised.
        """
        return self.views(ids, (self.decisions.architecture.layers,), side)[:, 0]

    def views(
        self, ids: Sequence[NDArray[np.int32]], layers: Sequence[int], side: Side = "document"
    ) -> Tensor:
        """The same of several layers, numbered as in transformers' ``output_hidden_states``.

        Returns:
            (texts, layers, dim).
        """
        padded, mask, pooled = (
            torch.from_numpy(array).to(self.device) for array in pad(ids, self._pad, False, self.skip(side))
        )
        inputs: dict[str, Tensor | bool] = {"input_ids": padded, "attention_mask": mask.long()}
        if self._takes_positions:
            # Given and not inferred: a literal padding token in a text would shift RoBERTa's.
            inputs["position_ids"] = (mask.cumsum(dim=1) - 1).clamp(min=0) + self._first_position
        last = self.decisions.architecture.layers
        if inner := any(layer != last for layer in layers):
            inputs["output_hidden_states"] = True
        output = self.body(**inputs)
        # The last one is taken where the final norm, if any, has been applied.
        states = {
            layer: output.hidden_states[layer] if inner and layer != last else output.last_hidden_state
            for layer in layers
        }
        kind: PoolingKind = self.decisions.pooling  # type: ignore[assignment]  # latent attention is refused
        with torch.autocast(self.device.type, enabled=False):
            return torch.stack([pool(kind, states[layer].float(), pooled) for layer in layers], dim=1)

    embed = forward

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.body.parameters()).device

    def trained(self) -> Trained:
        """The parameters to train."""
        layers = {id(parameter) for parameter in _blocks_of(self).parameters()}
        named = [(name, each) for name, each in self.named_parameters() if each.requires_grad]
        matrices = {name: each for name, each in named if each.ndim == 2 and id(each) in layers}
        return Trained(matrices, {name: each for name, each in named if name not in matrices})

    def trained_state(self) -> dict[str, Tensor]:
        """Copies of the trained tensors alone, on the CPU, by name: what a checkpoint holds of the encoder."""
        named = self.named_parameters()
        return {name: each.detach().cpu().clone() for name, each in named if each.requires_grad}

    def load_trained_state(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `trained_state` gave.

        Raises:
            CorruptArtifactError: other tensors than the ones that are trained here.
        """
        trained = {name: each for name, each in self.named_parameters() if each.requires_grad}
        unlike = sorted(trained.keys() ^ state.keys()) or [
            name for name, each in trained.items() if each.shape != state[name].shape
        ]
        if unlike:
            raise CorruptArtifactError(
                f"checkpoint: {unlike[0]} is not what is trained here; it is of another method or model, so start "
                "the run again"
            )
        with torch.no_grad():
            for name, each in trained.items():
                each.copy_(state[name])


def inner_body(body: nn.Module) -> nn.Module:
    """The transformers model itself, inside PEFT's wrapper where there is one."""
    from transformers import PreTrainedModel

    return next(module for module in body.modules() if isinstance(module, PreTrainedModel))


def _blocks_of(encoder: TrainableEncoder) -> nn.ModuleList:
    from fusionapp.adapters.huggingface.views import find_blocks

    return find_blocks(inner_body(encoder.body), encoder.decisions.architecture.layers)

"""A model, its pooling and its normalisation as one module that can be traced into a graph."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from fusionapp.adapters.huggingface.decisions import Decisions
from fusionapp.adapters.huggingface.views import first_position
from fusionapp.domain.normalization import l2_normalize
from fusionapp.domain.pooling import mean_pool


class EncoderGraph(nn.Module):
    """Token ids in, embeddings out; whoever runs it needs to know of no position, layer or mask of the prefix."""

    def __init__(self, body: nn.Module, decisions: Decisions, skip: int) -> None:
        """Wrap a model in eval mode.

        Args:
            body: a transformers model without a head, float32.
            decisions: how it is used; its pooling is one of the formulas, not latent attention.
            skip: leading tokens of each text that take no part in the pooling.
        """
        super().__init__()
        self._body = body
        self._layers = decisions.layers
        self._depth = decisions.architecture.layers
        self._pooling = decisions.pooling
        self._normalize = decisions.normalize
        self._skip = skip
        self._takes_positions = "position_ids" in inspect.signature(body.forward).parameters
        self._first_position = first_position(body)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Embed a batch that is padded on the right.

        Args:
            input_ids: (batch, tokens) int64.
            attention_mask: (batch, tokens) int64, 1 where a token is real.

        Returns:
            (batch, layers, dim) float32.
        """
        position = attention_mask.cumsum(dim=1) - 1
        real = attention_mask > 0
        inputs: dict[str, Any] = {"input_ids": input_ids, "attention_mask": attention_mask}
        if self._takes_positions:
            # Given and not inferred: a literal padding token in a text would shift RoBERTa's.
            inputs["position_ids"] = position.clamp(min=0) + self._first_position
        output = self._body(**inputs, output_hidden_states=True, return_dict=True)
        states = [
            output.last_hidden_state if layer == self._depth else output.hidden_states[layer]
            for layer in self._layers
        ]
        pooled = self._pooled(real, position)
        views = torch.stack([mean_pool(one, pooled) for one in states], dim=1)
        return l2_normalize(views) if self._normalize else views

    def _pooled(self, real: Tensor, position: Tensor) -> Tensor:
        """(batch, tokens) bool, True for the tokens to average: the first or last one is the mean of itself.

        (The formulas that pick a token gather by index, for which tracing would fix the batch's shape.)
        """
        if self._pooling == "cls":
            return real & (position == self._skip)
        if self._pooling == "last":
            last = real.sum(dim=1, keepdim=True) - 1
            return real & (position == last) & (position >= self._skip)
        return real & (position >= self._skip)

"""One forward pass, many views: layers are pooled as they pass, and token states are never kept."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fusionapp.adapters.huggingface.packing import Pack, filled_size, pack
from fusionapp.domain.errors import UsageError
from fusionapp.domain.normalization import l2_normalize

Pool: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""(batch, tokens, dim) states in the compute dtype, (batch, tokens) bool -> (batch, dim) float32."""


class ViewExtractor:
    """Runs a transformer over a batch, padded or packed, and pools the hidden states asked for.

    Hidden states are numbered as in transformers' ``output_hidden_states``: 0 enters the first layer, k
    leaves layer k, and the last one has gone through the final norm where the model has one.
    """

    def __init__(
        self,
        body: nn.Module,
        pool: Pool,
        *,
        layers: Sequence[int],
        depth: int,
        normalize: bool = False,
        pad_left: bool = False,
        packed: bool = False,
        compiled: bool = False,
    ) -> None:
        """Prepare a model in eval mode, whose layers must be one `nn.ModuleList` of `depth` blocks.

        Its hooks stay on the model. Compiled layers of a packed model on a GPU see a handful of shapes:
        packs are filled up to eighths of the budget.
        """
        self._body = body
        self._layers = tuple(layers)
        self._depth = depth
        self._pool = pool
        self._normalize = normalize
        self._pad_left = pad_left
        self._packed = packed
        self._fills = False
        self._takes_positions = "position_ids" in inspect.signature(body.forward).parameters
        self._first_position = first_position(body)
        config: Any = body.config
        self._pad = config.pad_token_id if isinstance(config.pad_token_id, int) else 0
        self._batch = threading.local()  # several threads may run a batch each
        blocks = find_blocks(body, depth)
        for layer in self._layers:
            if layer < depth:
                blocks[layer].register_forward_pre_hook(self._keep(layer), with_kwargs=True)
        if compiled:
            on_gpu = next(body.parameters()).is_cuda
            self._fills = packed and on_gpu
            for block in blocks:
                # `forward` alone: the hooks stay outside. Layers are alike, so that they are compiled once.
                block.forward = torch.compile(block.forward, dynamic=None if self._fills else True)

    @torch.inference_mode()
    def __call__(self, ids: Sequence[NDArray[np.int32]], skip: int = 0, budget: int | None = None) -> Tensor:
        """Embed token ids.

        Args:
            ids: one array of token ids a text; none is empty.
            skip: leading tokens of each text that take no part in the pooling.
            budget: most tokens of a batch, where compiled packs are filled up.

        Returns:
            (batch, layers, dim) float32 on the model's device.
        """
        device = next(self._body.parameters()).device
        if self._packed:
            size = filled_size(sum(map(len, ids)), budget) if self._fills and budget else None
            return self._run_packed(pack(ids, skip, size, self._pad).to(device))
        padded, mask, pooled = (
            torch.from_numpy(array).to(device) for array in pad(ids, self._pad, self._pad_left, skip)
        )
        inputs: dict[str, Tensor] = {"input_ids": padded, "attention_mask": mask.long()}
        if self._takes_positions:
            # Given and not inferred: left padding would shift absolute positions, and a literal padding token
            # in a text would shift RoBERTa's.
            inputs["position_ids"] = (mask.cumsum(dim=1) - 1).clamp(min=0) + self._first_position
        return self._run(inputs, lambda states: self._pool(states, pooled))

    def _run_packed(self, packed: Pack) -> Tensor:
        inputs = {
            "input_ids": packed.ids,
            "position_ids": packed.positions + self._first_position,
            "segments": packed.segments,
        }
        # Texts stand one below the other again, so that pooling is the formula that padded batches go through.
        return self._run(inputs, lambda states: self._pool(states[0, packed.places], packed.mask))

    def _run(self, inputs: dict[str, Any], pool_texts: Callable[[Tensor], Tensor]) -> Tensor:
        views: dict[int, Tensor] = {}
        self._batch.pool, self._batch.views = pool_texts, views
        output = self._body(**inputs)
        if self._depth in self._layers:
            views[self._depth] = pool_texts(output.last_hidden_state)
        stacked = torch.stack([views[layer] for layer in self._layers], dim=1)
        return l2_normalize(stacked) if self._normalize else stacked

    def _keep(self, layer: int) -> Callable[..., None]:
        def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            states = args[0] if args else kwargs["hidden_states"]
            self._batch.views[layer] = self._batch.pool(states)

        return hook


def pad(
    ids: Sequence[NDArray[np.int32]], filler: int, left: bool, skip: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Token ids as a rectangle, with the masks of its real tokens and of the tokens to pool.

    Returns:
        (batch, tokens) int64 ids, bool of real tokens, and bool of real tokens less the `skip` first of each.
    """
    lengths = np.fromiter(map(len, ids), np.int64, len(ids))[:, None]
    width = int(lengths.max())
    position = np.arange(width)[None, :] - (width - lengths if left else 0)
    mask = (position >= 0) & (position < lengths)
    padded = np.full(mask.shape, filler, dtype=np.int64)
    padded[mask] = np.concatenate(ids)
    return padded, mask, mask & (position >= skip)


def find_blocks(body: nn.Module, depth: int) -> nn.ModuleList:
    """The transformer layers of a model.

    Raises:
        UsageError: it is no stack of `depth` layers.
    """
    lists = (module for module in body.modules() if isinstance(module, nn.ModuleList))
    found = next((blocks for blocks in lists if len(blocks) == depth), None)
    if found is None:
        raise UsageError(f"model: {type(body).__name__} is no stack of {depth} layers; use another model")
    return found


def first_position(body: nn.Module) -> int:
    """RoBERTa and MPNet number positions from pad + 1: their position table has a padding row of its own."""
    table = getattr(getattr(body, "embeddings", None), "position_embeddings", None)
    padding = getattr(table, "padding_idx", None)
    return 0 if padding is None else int(padding) + 1

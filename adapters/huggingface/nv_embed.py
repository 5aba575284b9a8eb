"""NV-Embed without its remote code: a bidirectional Mistral and a latent-attention pooling layer.

Written from the description in Lee et al. 2024, "NV-Embed: Improved Techniques for Training LLMs as
Generalist Embedding Models" (arXiv:2405.17428), section 3; module names follow the published weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention

from fusionapp.domain.errors import CorruptArtifactError

_BODY = "embedding_model."
_LATENT = "latent_attention_model."


class PreNorm(nn.Module):
    """Layer norms before a sublayer: one for its input and, where it attends to a context, one for that."""

    def __init__(self, dim: int, sublayer: nn.Module, context_dim: int | None = None) -> None:
        super().__init__()
        self.fn = sublayer
        self.norm = nn.LayerNorm(dim)
        self.norm_context = None if context_dim is None else nn.LayerNorm(context_dim)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Return the sublayer's output for x (..., tokens, dim) and context (latents, context_dim)."""
        if self.norm_context is None or context is None:
            return self.fn(self.norm(x))  # type: ignore[no-any-return]  # nn.Module returns Any
        return self.fn(self.norm(x), self.norm_context(context))  # type: ignore[no-any-return]


class CrossAttention(nn.Module):
    """Multi-head attention from token states to the latents; no biases."""

    def __init__(self, dim: int, context_dim: int, heads: int, dim_head: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(dim, heads * dim_head, bias=False)
        self.to_kv = nn.Linear(context_dim, 2 * heads * dim_head, bias=False)
        self.to_out = nn.Linear(heads * dim_head, dim, bias=False)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Attend from x (batch, tokens, dim) to context (latents, context_dim)."""
        batch = x.shape[0]
        key, value = self.to_kv(context).chunk(2, dim=-1)
        query = self.to_q(x).unflatten(-1, (self.heads, -1)).transpose(-2, -3)
        key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(-2, -3).expand(batch, -1, -1, -1)
            for part in (key, value)
        )
        attended = scaled_dot_product_attention(query, key, value)
        return self.to_out(attended.transpose(-2, -3).flatten(-2))  # type: ignore[no-any-return]


class GatedFeedForward(nn.Module):
    """Linear, GEGLU (Shazeer 2020), linear; the inner width is four times the outer."""

    def __init__(self, dim: int, widening: int = 4) -> None:
        super().__init__()
        # The published weights number the linear maps 0 and 2; the gate between them has none.
        self.net = nn.ModuleDict(
            {"0": nn.Linear(dim, 2 * widening * dim), "2": nn.Linear(widening * dim, dim)}
        )

    def forward(self, x: Tensor) -> Tensor:
        """Transform x (..., dim), keeping its shape."""
        value, gate = self.net["0"](x).chunk(2, dim=-1)
        return self.net["2"](value * gelu(gate))  # type: ignore[no-any-return]


class LatentAttention(nn.Module):
    """Token states as queries into a trained dictionary of latents, then a feed-forward layer, both residual.

    The masked mean that follows is `mean_pool`.
    """

    def __init__(self, hidden_dim: int, latent_dim: int, latents: int, heads: int, dim_head: int) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.empty(latents, latent_dim))
        self.cross_attend_blocks = nn.ModuleList(
            [
                PreNorm(hidden_dim, CrossAttention(hidden_dim, latent_dim, heads, dim_head), latent_dim),
                PreNorm(hidden_dim, GatedFeedForward(hidden_dim)),
            ]
        )

    def forward(self, states: Tensor) -> Tensor:
        """Transform token states (batch, tokens, hidden_dim), keeping their shape; tokens do not mix."""
        attend, feed_forward = self.cross_attend_blocks
        states = attend(states, self.latents) + states
        return feed_forward(states) + states  # type: ignore[no-any-return]


def latent_attention(settings: Mapping[str, Any]) -> LatentAttention:
    """Build the layer from ``latent_attention_config``; defaults are NV-Embed-v2's."""
    return LatentAttention(
        hidden_dim=int(settings.get("hidden_dim", 4096)),
        latent_dim=int(settings.get("latent_dim", 4096)),
        latents=int(settings.get("num_latents_value", 512)),
        heads=int(settings.get("num_cross_heads", 8)),
        dim_head=int(settings.get("cross_dim_head", 4096)),
    )


def load_nv_embed(
    config: Mapping[str, Any], weights: list[Path], dtype: torch.dtype, attention: str
) -> tuple[nn.Module, LatentAttention]:
    """The Mistral body, made bidirectional, and its pooling layer.

    Args:
        config: the checkpoint's ``config.json``.
        weights: its safetensors files.
        dtype: compute dtype.
        attention: "sdpa" or "eager".

    Raises:
        CorruptArtifactError: weights are missing, surplus or of another shape.
    """
    from safetensors.torch import load_file
    from transformers import MistralConfig, MistralModel

    settings = dict(config["text_config"])
    settings.pop("model_type", None)
    body_config = MistralConfig(**settings)
    body_config.is_causal = False
    body_config.use_cache = False
    body_config._attn_implementation = attention
    state: dict[str, Tensor] = {}
    for path in weights:
        state |= load_file(path)
    # Parameters are born on the meta device and take the loaded tensors as they are: the weights exist once.
    with torch.device("meta"):
        pooling = latent_attention(config.get("latent_attention_config") or {})
    body = _empty_mistral(MistralModel, body_config)
    _fill(body, _part(state, _BODY, dtype))
    _fill(pooling, _part(state, _LATENT, dtype))
    for module in body.modules():
        # The mask alone does not do it: without padding there is none, and attention falls back to this flag.
        if hasattr(module, "is_causal"):
            module.is_causal = False  # type: ignore[assignment]  # a plain flag of the attention module
    return body, pooling


def _empty_mistral(kind: Any, config: Any) -> nn.Module:
    """A Mistral on the meta device, except for the rotary frequencies, which are computed and not loaded."""
    with torch.device("meta"):
        body = kind(config)
    body.rotary_emb = type(body.rotary_emb)(config=config)
    return body  # type: ignore[no-any-return]


def _part(state: dict[str, Tensor], prefix: str, dtype: torch.dtype) -> dict[str, Tensor]:
    names = [name for name in state if name.startswith(prefix)]
    return {name.removeprefix(prefix): state.pop(name).to(dtype) for name in names}


def _fill(module: nn.Module, state: dict[str, Tensor]) -> None:
    try:
        module.load_state_dict(state, strict=True, assign=True)
    except RuntimeError as error:
        raise CorruptArtifactError(f"model: not the weights of an NV-Embed model: {error}") from error

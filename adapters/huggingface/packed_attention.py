"""Attention within each text of a packed row.

The stock attention paths of transformers leak between texts that share a row: BERT's whatever the position ids
say, a decoder's with its default cache. This one is told where each text begins, and a test holds it to one text
at a time for every family in `PACKED`.
"""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from fusionapp.adapters.huggingface.packing import Segments

NAME = "fusionapp_packed"
"""What transformers knows it by."""

PACKED = frozenset(
    {"bert", "roberta", "xlm-roberta", "camembert", "electra", "llama", "mistral", "qwen2", "qwen3"}
)
"""Families (`model_type`) whose attention is nothing but softmax(q k / sqrt(d)) v, causal or not."""

_SCORES = 1 << 20
"""Attention scores computed at once on a CPU: 2 MB of bfloat16, which stay in its cache."""


@cache
def register() -> None:
    """Make the path known to transformers; it needs no mask, which would be tokens x tokens."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface

    AttentionInterface.register(NAME, packed_attention)
    AttentionMaskInterface.register(NAME, lambda *_, **__: None)


@torch.compiler.disable  # type: ignore[untyped-decorator]
def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    segments: Segments,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """What transformers calls in each layer.

    Args:
        module: the layer's attention, which knows whether it is causal.
        query: (1, heads, tokens, head dim).
        key: (1, key heads, tokens, head dim); there may be fewer key heads than heads.
        value: the same.
        attention_mask: unused.
        segments: where each text of the row stands.
        scaling: of the scores; None is 1 / sqrt(head dim).
        sliding_window: most tokens that a token looks at, itself included; None for all.

    Returns:
        (1, tokens, heads, head dim), and no weights.
    """
    config: Any = module.config
    causal = bool(module.is_causal) and getattr(config, "is_causal", None) is not False
    window = sliding_window if sliding_window is not None and sliding_window < segments.longest else None
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if query.is_cuda and query.dtype in (torch.bfloat16, torch.float16):
        return _by_kernel(query, key, value, segments, scale, causal, window), None
    heads = query.shape[1]
    output = torch.empty_like(query.transpose(1, 2), memory_format=torch.contiguous_format)
    for start, texts, length in segments.groups:
        stop = start + texts * length
        q, k, v = (
            _repeat(tensor[0, :, start:stop], heads).reshape(heads, texts, length, -1).transpose(0, 1)
            for tensor in (query, key, value)
        )
        output[0, start:stop] = _group(q, k, v, scale, causal, window).transpose(1, 2).flatten(0, 1)
    return output, None


def _group(q: Tensor, k: Tensor, v: Tensor, scale: float, causal: bool, window: int | None) -> Tensor:
    """Attention of texts of equal length, (texts, heads, length, head dim) each."""
    if not causal and window is None and q.dtype is torch.bfloat16:
        return _by_products(q, k, v, scale)
    if window is None:
        return scaled_dot_product_attention(q, k, v, is_causal=causal, scale=scale)
    place = torch.arange(q.shape[2], device=q.device)
    distance = place[:, None] - place[None, :]
    near = distance < window
    near &= (distance >= 0) if causal else (distance > -window)
    return scaled_dot_product_attention(q, k, v, attn_mask=near, scale=scale)


def _by_products(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    """Two batched matrix products and a softmax.

    Twice as fast as the fused path of torch 2.13 in bfloat16 on a CPU that multiplies it (Zen 5, head dims 32 and
    64, 20 to 512 tokens), which converts to float32; scores are rounded to bfloat16, sums are not.
    """
    texts, heads, length, dim = q.shape
    queries, keys, values = (tensor.reshape(texts * heads, length, dim) for tensor in (q, k, v))
    output = torch.empty_like(queries)
    nothing = queries.new_zeros(1)
    step = max(1, _SCORES // length**2)
    for start in range(0, texts * heads, step):
        part = slice(start, start + step)
        scores = torch.baddbmm(nothing, queries[part], keys[part].mT, beta=0, alpha=scale)
        torch.bmm(scores.softmax(dim=-1), values[part], out=output[part])
    return output.view(texts, heads, length, dim)


def _by_kernel(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    segments: Segments,
    scale: float,
    causal: bool,
    window: int | None,
) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    left = -1 if window is None else window - 1
    heads = query.shape[1]
    extra: dict[str, Any] = {}
    if heads != key.shape[1]:
        if "enable_gqa" in inspect.signature(varlen_attn).parameters:
            extra["enable_gqa"] = True
        else:  # torch 2.11
            key, value = _repeat(key[0], heads)[None], _repeat(value[0], heads)[None]
    q, k, v = (tensor[0].transpose(0, 1).contiguous() for tensor in (query, key, value))
    output = varlen_attn(
        q,
        k,
        v,
        segments.offsets,
        segments.offsets,
        segments.longest,
        segments.longest,
        scale=scale,
        window_size=(left, 0 if causal else left),
        **extra,
    )
    assert isinstance(output, Tensor)
    return output[None]


def _repeat(tensor: Tensor, heads: int) -> Tensor:
    """(key heads, tokens, head dim) with each head repeated for the queries' heads that share it."""
    return tensor if len(tensor) == heads else tensor.repeat_interleave(heads // len(tensor), dim=0)

"""Letting every token of a causal decoder see the whole text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from fusionapp.adapters.huggingface.architecture import Architecture
from fusionapp.domain.errors import UsageError

_PROBE = 6
"""Tokens of the text that is tried."""


def refuse_direction(architecture: Architecture, config: Mapping[str, Any]) -> None:
    """Refuse models that are bidirectional already, or whose position code is for one direction alone.

    Raises:
        UsageError: the model is not a causal decoder, or has ALiBi.
    """
    if architecture.kind != "decoder":
        raise UsageError(
            f"bidirectional: {architecture.model_type} is no causal decoder, so that there is nothing to change; "
            "leave it out"
        )
    if config.get("alibi"):
        raise UsageError(
            f"bidirectional: {architecture.model_type} has ALiBi positions, which transformers' attention paths "
            "apply differently without a causal mask; leave it out, or use a model with rotary positions"
        )


@torch.no_grad()
def check_sees_ahead(body: nn.Module, model: str) -> None:
    """Try on one text whether the first token's state depends on the last token.

    `config.is_causal = False` is honoured by those models alone that let transformers build their mask.

    Raises:
        UsageError: it does not, so that the model would stay causal in silence.
    """
    config: Any = body.config
    device = next(body.parameters()).device
    ids = torch.full((2, _PROBE), config.vocab_size // 2, device=device)
    ids[1, -1] += 1
    was_training = body.training
    body.eval()
    try:
        # A padded batch and a whole one take different ways through the mask.
        whole = body(input_ids=ids).last_hidden_state[:, 0]
        padded_ids = torch.cat([ids, ids[:1, :2].expand(2, 2)], dim=1)
        mask = torch.ones_like(padded_ids)
        mask[:, _PROBE:] = 0
        padded = body(input_ids=padded_ids, attention_mask=mask).last_hidden_state[:, 0]
    finally:
        body.train(was_training)
    if torch.equal(whole[0], whole[1]) or torch.equal(padded[0], padded[1]):
        raise UsageError(
            f"bidirectional: the attention of {model} stays causal whatever its configuration says; leave it out, "
            "or use a Llama, Mistral or Qwen model"
        )

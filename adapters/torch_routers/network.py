"""Networks that score every model for a prompt, in logits that are added to a base's."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

Score = Literal["mlp", "two_towers"]


class RouterNetwork(nn.Module):
    """Logits of every model for a batch of prompts.

    "mlp": layers over [prompt; model], the prompt's columns being embedding and features; the first layer is the
    sum of a prompt's part and a model's, so each is computed once and not for every pair. "two_towers": a prompt's
    vector, by the same layers over the prompt alone, times a model's, which is a linear map of its embedding.

    The last layer of what reads prompts begins at 0, so training starts from the base as it is.
    """

    def __init__(
        self,
        score: Score,
        prompt_dim: int,
        models: Tensor,
        hidden_dims: Sequence[int],
        dropout: float,
        finetune_models: bool,
    ) -> None:
        """Args:
        score: which network.
        prompt_dim: columns of a prompt.
        models: (models, model_dim) model embeddings.
        hidden_dims: widths of the hidden layers, at least one.
        dropout: between them.
        finetune_models: whether model embeddings are trained on.
        """
        super().__init__()
        self.models = nn.Parameter(models.clone(), requires_grad=finetune_models)
        model_dim = models.shape[1]
        widths = list(hidden_dims)
        self.first = nn.Linear(prompt_dim, widths[0])
        self.inner = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.dropout = nn.Dropout(dropout)
        self.activation = nn.LeakyReLU()
        self._joins = score == "mlp"
        if self._joins:
            self.of_model = nn.Linear(model_dim, widths[0], bias=False)
            self.last = nn.Linear(widths[-1], 1)
        else:
            self.of_model = nn.Linear(model_dim, model_dim, bias=False)
            self.last = nn.Linear(widths[-1], model_dim)
        self.level = nn.Parameter(torch.zeros(len(models)))
        self.free_threshold = nn.Parameter(torch.zeros(()))
        """ln theta of Rao and Kupper is softplus of it; other losses leave it at 0."""
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, prompts: Tensor) -> Tensor:
        """(batch, prompt_dim) -> (batch, models)."""
        hidden = self.first(prompts)
        models: Tensor = self.of_model(self.models)
        if self._joins:
            hidden = hidden[:, None] + models
        hidden = self.dropout(self.activation(hidden))
        for layer in self.inner:
            hidden = self.dropout(self.activation(layer(hidden)))
        last: Tensor = self.last(hidden)
        logits: Tensor = last[..., 0] if self._joins else last @ models.T / models.shape[1] ** 0.5
        return logits + self.level

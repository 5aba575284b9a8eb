"""The first phase: what a model is, learned from the prompts that it won and lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import attrs
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

Method = Literal["triplet", "attention"]
MARGIN = 0.3
"""Of squared distances between unit vectors, which are at most 4."""
_BATCH = 256


@attrs.frozen(eq=False)
class Contests:
    """Battles with a winner.

    Attributes:
        prompts: (contests,) int64 rows.
        winners: (contests,) int64 model numbers.
        losers: (contests,) int64.
        weights: (contests,) float64, how often each is drawn; all alike where samples are not balanced.
    """

    prompts: Tensor
    winners: Tensor
    losers: Tensor
    weights: Tensor


class PromptTower(nn.Sequential):
    """From a prompt's embedding to the space of model embeddings: (prompts, dim) -> (prompts, widths[-1])."""

    def __init__(self, dim: int, widths: Sequence[int]) -> None:
        layers: list[nn.Module] = []
        for before, after in zip([dim, *widths], widths, strict=False):
            layers += [nn.Linear(before, after), nn.LeakyReLU()]
        super().__init__(*layers[:-1])


class TripletModels(nn.Module):
    """Embeddings near the prompts that a model won and far from those that it lost.

    max(0, |t - w|^2 - |t - l|^2 + margin) of unit vectors (Schroff et al., "FaceNet", 2015): the anchor t is a
    prompt's embedding through a tower, the positive w the model that won on it, the negative l the one that lost.
    """

    def __init__(self, dim: int, widths: Sequence[int], models: int) -> None:
        super().__init__()
        self.tower = PromptTower(dim, widths)
        self.models = nn.Parameter(torch.randn(models, widths[-1]))

    def loss(self, prompts: Tensor, contests: Contests, drawn: Tensor) -> Tensor:
        """Mean loss of the drawn contests."""
        anchors = normalize(self.tower(prompts[contests.prompts[drawn]]), dim=-1)
        models = normalize(self.models, dim=-1)
        near, far = (
            (anchors - models[side[drawn]]).square().sum(-1) for side in (contests.winners, contests.losers)
        )
        return torch.relu(near - far + MARGIN).mean()

    def embeddings(self) -> Tensor:
        """(models, widths[-1]) unit vectors."""
        return normalize(self.models.detach(), dim=-1)


class AttentiveModels(nn.Module):
    """A model as a weighed sum of prompts that it answered: of those done well, less those done badly.

    e_m = sum_i a_im q_im t(x_i), q_im being the centred quality, t a tower, and a_im the softmax over the model's
    prompts of w . t(x_i) (attention with one learned query). Trained so that e_m . t(x) foretells the centred
    quality of prompts that are not in the sum.
    """

    def __init__(self, dim: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.tower = PromptTower(dim, widths)
        self.query = nn.Parameter(torch.zeros(widths[-1]))
        self.scale = nn.Parameter(torch.ones(()))

    def pooled(self, prompts: Tensor, quality: Tensor) -> Tensor:
        """(models, widths[-1]) of prompts (n, dim) and centred qualities (n, models), NaN where unknown."""
        told = normalize(self.tower(prompts), dim=-1)
        known = ~quality.isnan()
        asked = (told @ self.query)[:, None].expand(-1, quality.shape[1])
        attention = torch.where(known, asked, -1e9).softmax(dim=0) * known
        return (attention * quality.nan_to_num()).T @ told

    def loss(self, prompts: Tensor, quality: Tensor, weights: Tensor) -> Tensor:
        """Squared error, weighed by model, of the second half of a batch by the sums over its first."""
        half = len(prompts) // 2
        models = self.pooled(prompts[:half], quality[:half])
        asked = normalize(self.tower(prompts[half:]), dim=-1)
        target = quality[half:]
        weigh = (~target.isnan()) * weights
        errors = (self.scale * 10 * asked @ models.T - target.nan_to_num()).square()
        return (errors * weigh).sum() / weigh.sum().clamp(min=1e-9)


def embed_models(
    method: Method,
    prompts: Tensor,
    quality: Tensor,
    contests: Contests,
    model_weights: Tensor,
    widths: Sequence[int],
    epochs: int,
    learning_rate: float,
    order: torch.Generator,
) -> tuple[Tensor, list[float]]:
    """Model embeddings (models, widths[-1]) of length 1, and each epoch's mean loss.

    Args:
        method: which.
        prompts: (prompts, dim) float32.
        quality: (prompts, models) centred qualities; NaN where unknown.
        contests: for "triplet"; at least one.
        model_weights: (models,) for "attention": what an answer of each model weighs.
        widths: of the tower.
        epochs: passes over contests or prompts.
        learning_rate: of AdamW.
        order: what contests and prompts are drawn by.
    """
    triplets = method == "triplet"
    dim, models = prompts.shape[1], quality.shape[1]
    learner = TripletModels(dim, widths, models) if triplets else AttentiveModels(dim, widths)
    learner.to(prompts.device)
    optimizer = torch.optim.AdamW(learner.parameters(), lr=learning_rate)
    losses = []
    for _ in range(epochs):
        if triplets:
            drawn = torch.multinomial(contests.weights, len(contests.weights), True, generator=order)
        else:
            drawn = torch.randperm(len(prompts), generator=order)
        total = 0.0
        for batch in torch.split(drawn.to(prompts.device), _BATCH):
            if isinstance(learner, TripletModels):
                loss = learner.loss(prompts, contests, batch)
            elif len(batch) > 1:
                loss = learner.loss(prompts[batch], quality[batch], model_weights)
            else:
                continue
            torch.autograd.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
            total += float(loss.detach()) * len(batch)
        losses.append(total / len(drawn))
    with torch.no_grad():
        if isinstance(learner, TripletModels):
            return learner.embeddings(), losses
        return normalize(learner.pooled(prompts, quality), dim=-1), losses

"""The first phase: what a model is, learned from the prompts that it won and lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import attrs
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from fusionapp.adapters.torch_routers.rows import take
from fusionapp.adapters.torch_routers.stacked import StackedLinear

Method = Literal["triplet", "attention"]
MARGIN = 0.3
"""Of squared distances between unit vectors, which are at most 4."""
_BATCH = 256
_START = 1e-3
"""How far from 0 models begin: so near that contests say where they come to lie, and not how they were drawn."""


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
    """From prompts' embeddings to the space of models': (seeds, prompts, dim) -> (seeds, prompts, widths[-1])."""

    def __init__(self, dim: int, widths: Sequence[int]) -> None:
        layers: list[nn.Module] = []
        for before, after in zip([dim, *widths], widths, strict=False):
            layers += [StackedLinear(before, after), nn.LeakyReLU(inplace=True)]
        super().__init__(*layers[:-1])


class TripletModels(nn.Module):
    """Embeddings near the prompts that a model won and far from those that it lost.

    max(0, |t - w|^2 - |t - l|^2 + margin) of unit vectors (Schroff et al., "FaceNet", 2015): the anchor t is a
    prompt's embedding through a tower, the positive w the model that won on it, the negative l the one that lost.
    Between unit vectors the two distances differ by 2 (t . l - t . w), which is what is computed.
    """

    def __init__(self, dim: int, widths: Sequence[int], models: int) -> None:
        super().__init__()
        self.tower = PromptTower(dim, widths)
        self.models = nn.Parameter(torch.randn(1, models, widths[-1]) * _START)

    def loss(self, prompts: Tensor, contests: Contests, drawn: Tensor) -> Tensor:
        """Each seed's mean loss of its drawn contests (seeds, batch): (seeds,)."""
        anchors = normalize(self.tower(take(prompts, contests.prompts[drawn])), dim=-1)
        likeness = anchors @ normalize(self.models, dim=-1).mT
        won, lost = (
            likeness.gather(2, side[drawn][..., None])[..., 0] for side in (contests.winners, contests.losers)
        )
        return torch.relu(2 * (lost - won) + MARGIN).mean(-1)

    def embeddings(self) -> Tensor:
        """(seeds, models, widths[-1]) unit vectors."""
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
        self.query = nn.Parameter(torch.zeros(1, widths[-1]))
        self.scale = nn.Parameter(torch.ones(1))

    def pooled(self, prompts: Tensor, quality: Tensor) -> Tensor:
        """(seeds, models, widths[-1]) of prompts (seeds, n, dim) and centred qualities (seeds, n, models).

        Qualities that are not known are NaN.
        """
        told = normalize(self.tower(prompts), dim=-1)
        known = ~quality.isnan()
        asked = (told * self.query[:, None]).sum(-1, keepdim=True).expand(-1, -1, quality.shape[-1])
        attention = torch.where(known, asked, -1e9).softmax(dim=1) * known
        return (attention * quality.nan_to_num()).mT @ told

    def loss(self, prompts: Tensor, quality: Tensor, weights: Tensor) -> Tensor:
        """Squared error, weighed by model, of the second half of each seed's batch by the sums over its first.

        Args:
            prompts: (seeds, batch, dim).
            quality: (seeds, batch, models) centred; NaN where unknown.
            weights: (models,).

        Returns:
            (seeds,).
        """
        half = prompts.shape[1] // 2
        models = self.pooled(prompts[:, :half], quality[:, :half])
        asked = normalize(self.tower(prompts[:, half:]), dim=-1)
        target = quality[:, half:]
        weigh = (~target.isnan()) * weights
        errors = (self.scale[:, None, None] * 10 * asked @ models.mT - target.nan_to_num()).square()
        return (errors * weigh).sum((1, 2)) / weigh.sum((1, 2)).clamp(min=1e-9)


def draw_learner(
    method: Method, dim: int, widths: Sequence[int], models: int
) -> TripletModels | AttentiveModels:
    """What learns the embeddings of one seed, drawn by torch's own seed; `stack` joins several.

    Args:
        method: which.
        dim: of a prompt's embedding.
        widths: of the tower.
        models: how many.
    """
    return TripletModels(dim, widths, models) if method == "triplet" else AttentiveModels(dim, widths)


def embed_models(
    learner: TripletModels | AttentiveModels,
    prompts: Tensor,
    quality: Tensor,
    contests: Contests,
    model_weights: Tensor,
    epochs: int,
    learning_rate: float,
    orders: Sequence[torch.Generator],
) -> tuple[Tensor, list[list[float]]]:
    """Model embeddings (seeds, models, widths[-1]) of length 1, and each epoch's mean losses, one a seed.

    Args:
        learner: a stack, on the device of the prompts.
        prompts: (prompts, dim) float32.
        quality: (prompts, models) centred qualities; NaN where unknown.
        contests: for "triplet"; at least one.
        model_weights: (models,) for "attention": what an answer of each model weighs.
        epochs: passes over contests or prompts.
        learning_rate: of AdamW.
        orders: what each seed's contests and prompts are drawn by.
    """
    triplets = isinstance(learner, TripletModels)
    optimizer = torch.optim.AdamW(learner.parameters(), lr=learning_rate, fused=True)
    losses = []
    for _ in range(epochs):
        drawn = torch.stack(
            [
                torch.multinomial(contests.weights, len(contests.weights), True, generator=order)
                if triplets
                else torch.randperm(len(prompts), generator=order)
                for order in orders
            ]
        ).to(prompts.device)
        total = torch.zeros(len(orders), device=prompts.device)
        for batch in torch.split(drawn, _BATCH, dim=1):
            if isinstance(learner, TripletModels):
                loss = learner.loss(prompts, contests, batch)
            elif batch.shape[1] > 1:
                loss = learner.loss(take(prompts, batch), quality[batch], model_weights)
            else:
                continue
            torch.autograd.backward(loss.sum())
            optimizer.step()
            optimizer.zero_grad()
            total += loss.detach() * batch.shape[1]
        losses.append((total / drawn.shape[1]).tolist())
    with torch.no_grad():
        if isinstance(learner, TripletModels):
            return learner.embeddings(), losses
        seeds = len(orders)
        everything = learner.pooled(prompts.expand(seeds, -1, -1), quality.expand(seeds, -1, -1))
        return normalize(everything, dim=-1), losses

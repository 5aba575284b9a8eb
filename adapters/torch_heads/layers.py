"""Layers that compute every seed at once; weights, inputs and outputs carry a leading seeds dimension."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import attrs
import torch
from torch import Tensor, nn

from fusionapp.adapters.torch_shared.seed_dropout import SeedDropout


@attrs.frozen
class Span:
    """A stretch of a fused vector.

    Attributes:
        source: position of the source that it comes from alone; None where sources are mixed.
        width: how many numbers.
    """

    source: int | None
    width: int


class StackedLinear(nn.Module):
    """One linear layer per seed: (seeds, batch, in_dim) -> (seeds, batch, out_dim).

    Weights are drawn as `torch.nn.Linear` draws them, uniform within 1 / sqrt(in_dim).

    Attributes:
        weight: (seeds, in_dim, out_dim).
        bias: (seeds, 1, out_dim).
        train_dtype: what products are computed in while training; evaluation is always float32.
        reads: whose numbers the input holds, so that a source may have a learning rate of its own; empty where
            no source enters alone.
    """

    def __init__(self, seeds: int, in_dim: int, out_dim: int, reads: Sequence[Span] = ()) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(seeds, in_dim, out_dim))
        self.bias = nn.Parameter(torch.empty(seeds, 1, out_dim))
        self.train_dtype = torch.float32
        self.reads = tuple(reads)

    @torch.no_grad()
    def draw(self, streams: Sequence[torch.Generator]) -> None:
        """Initialise each seed's weights from its own stream."""
        bound = self.weight.shape[1] ** -0.5
        for seed, stream in enumerate(streams):
            self.weight[seed].uniform_(-bound, bound, generator=stream)
            self.bias[seed].uniform_(-bound, bound, generator=stream)

    def forward(self, x: Tensor) -> Tensor:
        """(seeds, batch, in_dim) -> (seeds, batch, out_dim), float32."""
        dtype = self.train_dtype if self.training else torch.float32
        return torch.baddbmm(self.bias.to(dtype), x.to(dtype), self.weight.to(dtype)).float()


class SourceDropout(nn.Module):
    """Leaves whole sources out of a row, so that a head leans on none (ModDrop, Neverova et al. 2016).

    What stays is not scaled up: a source must look in training as it will in scoring, where all are there, and
    most fusions normalise their products in any case.

    Attributes:
        streams: each seed's generator; `FusionHead.draw` sets them.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.streams: Sequence[torch.Generator] = ()

    def forward(self, sources: Sequence[Tensor]) -> list[Tensor]:
        """(seeds, batch, layers, dim) each -> the same shapes; the sources themselves in evaluation."""
        if not self.training or not self.rate:
            return list(sources)
        drawn = torch.empty(*sources[0].shape[:2], len(sources), device=sources[0].device)
        for rows, stream in zip(drawn, self.streams, strict=True):
            rows.uniform_(generator=stream)
        # The largest draw stays whatever it is: a row without any source would teach nothing.
        kept = (drawn >= self.rate) | (drawn == drawn.amax(-1, keepdim=True))
        return [source * kept[..., i, None, None] for i, source in enumerate(sources)]


class StackedMLP(nn.Module):
    """Linear layers with ReLU between them: in_dim -> hidden_dims -> out_dim.

    Attributes:
        final: the last linear layer, which Muon leaves to AdamW.
    """

    def __init__(
        self,
        seeds: int,
        in_dim: int,
        hidden_dims: Sequence[int],
        out_dim: int,
        dropout: float = 0.0,
        reads: Sequence[Span] = (),
    ) -> None:
        super().__init__()
        dims = [in_dim, *hidden_dims]
        self.hidden = nn.ModuleList(
            StackedLinear(seeds, a, b, () if i else reads) for i, (a, b) in enumerate(pairwise(dims))
        )
        self.dropout = SeedDropout(dropout)
        self.final = StackedLinear(seeds, dims[-1], out_dim, () if hidden_dims else reads)

    def forward(self, x: Tensor) -> Tensor:
        """(seeds, batch, in_dim) -> (seeds, batch, out_dim)."""
        for layer in self.hidden:
            x = self.dropout(torch.relu(layer(x)))
        out: Tensor = self.final(x)
        return out

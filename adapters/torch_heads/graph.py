"""Saved heads as one module without state of ours: raw embeddings in, mean probabilities out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fusionapp.adapters.torch_heads.artefact import SavedHead, stack_heads
from fusionapp.adapters.torch_heads.scorer import alike
from fusionapp.adapters.torch_heads.sources import Source, SourceCard
from fusionapp.adapters.torch_heads.sparse_graph import BagGraph, WeightedCells, replace_bags
from fusionapp.domain.linear_layer import LinearLayer, LinearSource, SparseLinearSource, scale_rows
from fusionapp.domain.normalization import l2_normalize, softmax

CPU = torch.device("cpu")

Raw = Tensor | tuple[Tensor, Tensor, Tensor]
"""What a graph takes of a source: dense (rows, layers, dim), or a CSR matrix's indptr, indices and data."""


class HeadsGraph(nn.Module):
    """The ensemble of heads, the sources' preparation and the linear path included."""

    def __init__(self, heads: Sequence[SavedHead], linear: LinearLayer | None) -> None:
        """`heads` have the same sources in the same order; `linear` is what all of them add to, if anything."""
        super().__init__()
        self.linear = None if linear is None else LinearGraph(linear, [s.card for s in heads[0].sources])
        self.groups = nn.ModuleList(HeadGroup([heads[i] for i in group]) for group in alike(heads))
        self.heads = len(heads)
        self.sparse = [source.card.sparse for source in heads[0].sources]

    def forward(self, *inputs: Tensor) -> Tensor:
        """(rows, layers, dim) of each dense source, and the three `PARTS` of a sparse one -> (rows, classes)."""
        rest = iter(inputs)
        sources: list[Raw] = [
            (next(rest), next(rest), next(rest)) if sparse else next(rest) for sparse in self.sparse
        ]
        linear = None if self.linear is None else self.linear(sources)
        total: Tensor = sum(group(sources, linear) for group in self.groups)
        return total / self.heads


class HeadGroup(nn.Module):
    """Heads that share network and standardisation; gives the sum of their probabilities."""

    def __init__(self, heads: Sequence[SavedHead]) -> None:
        super().__init__()
        self.each = nn.ModuleList(_prepared(source) for source in heads[0].sources)
        self.network = stack_heads(heads, CPU)
        replace_bags(self.network.bags)
        self.stack = len(heads)
        temperatures = torch.tensor([head.card.temperature for head in heads])
        self.register_buffer("temperatures", temperatures[:, None, None])

    def forward(self, sources: Sequence[Raw], linear: Tensor | None) -> Tensor:
        """The sources -> (rows, classes)."""
        batch = [
            prepare(*source)
            if isinstance(source, tuple)
            else prepare(source)[None].expand(self.stack, -1, -1, -1)
            for prepare, source in zip(self.each, sources, strict=True)
        ]
        logits = self.network(batch, linear) / self.temperatures
        probabilities: Tensor = softmax(logits).sum(0)
        return probabilities


class PreparedSource(nn.Module):
    """What `Source.prepare` does to a dense source, in torch."""

    mean: Tensor | None
    deviation: Tensor | None

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.length = source.card.dim**0.5 if source.card.recipe.normalize == "l2" else None
        standardization = source.standardization
        self.register_buffer("mean", _tensor(standardization.mean if standardization else None))
        self.register_buffer("deviation", _tensor(standardization.deviation if standardization else None))

    def forward(self, rows: Tensor) -> Tensor:
        """(rows, layers, dim) -> the same shape."""
        if self.mean is not None and self.deviation is not None:
            return (rows - self.mean) / self.deviation
        if self.length is None:
            return rows
        scaled: Tensor = l2_normalize(rows) * self.length
        return scaled


class LinearGraph(nn.Module):
    """A `LinearLayer` in torch."""

    intercept: Tensor

    def __init__(self, layer: LinearLayer, cards: Sequence[SourceCard]) -> None:
        """`cards` in the order in which sources are given."""
        super().__init__()
        self.each = nn.ModuleList(_linear(layer.sources[card.name], card.dim) for card in cards)
        self.register_buffer("intercept", _tensor(layer.intercept))

    def forward(self, sources: Sequence[Raw]) -> Tensor:
        """The sources -> decision values (rows, classes)."""
        scores: Tensor = self.intercept
        for score, source in zip(self.each, sources, strict=True):
            scores = scores + (score(*source) if isinstance(source, tuple) else score(source))
        return scores


class LinearSourceGraph(nn.Module):
    """One source's share of the decision values."""

    weights: Tensor
    mean: Tensor | None
    deviation: Tensor | None

    def __init__(self, source: LinearSource) -> None:
        super().__init__()
        standardization = source.standardization
        self.unit_layers, self.divisor = source.unit_layers, source.divisor
        self.register_buffer("weights", _tensor(source.weights))
        self.register_buffer("mean", _tensor(standardization.mean if standardization else None))
        self.register_buffer("deviation", _tensor(standardization.deviation if standardization else None))

    def forward(self, rows: Tensor) -> Tensor:
        """(rows, layers, dim) -> (rows, classes)."""
        scaled = scale_rows(rows, self.unit_layers, self.divisor, self.mean, self.deviation)
        return scaled.flatten(1) @ self.weights


class SparseLinearSourceGraph(nn.Module):
    """One sparse source's share of the decision values."""

    def __init__(self, source: SparseLinearSource, dim: int) -> None:
        super().__init__()
        self.weigh = WeightedCells(source.weighting, dim)
        self.bag = BagGraph(torch.tensor(source.weights, dtype=torch.float32)[None])

    def forward(self, starts: Tensor, columns: Tensor, counts: Tensor) -> Tensor:
        """CSR (rows, dim) -> (rows, classes)."""
        sums: Tensor = self.bag(self.weigh(starts, columns, counts))
        return sums[0, :, 0]


def _prepared(source: Source) -> nn.Module:
    if source.weighting is None:
        return PreparedSource(source)
    return WeightedCells(source.weighting, source.card.dim)


def _linear(source: LinearSource | SparseLinearSource, dim: int) -> nn.Module:
    return (
        LinearSourceGraph(source)
        if isinstance(source, LinearSource)
        else SparseLinearSourceGraph(source, dim)
    )


def _tensor(numbers: NDArray[np.float32] | None) -> Tensor | None:
    return None if numbers is None else torch.tensor(numbers, dtype=torch.float32)

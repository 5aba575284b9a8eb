"""Fusion modules: parameters live here, formulas in the domain."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import torch
from torch import Tensor, nn

from fusionapp.adapters.torch_heads.layers import Span, StackedLinear, StackedMLP
from fusionapp.adapters.torch_shared.seed_dropout import SeedDropout
from fusionapp.domain.cooccurrence import cooccurrence_features
from fusionapp.domain.errors import UsageError
from fusionapp.domain.fusion.low_rank import low_rank_bilinear
from fusionapp.domain.fusion.mixtures import attention_fusion, gated_fusion, mixture_of_experts
from fusionapp.domain.fusion.products import (
    all_features,
    concat,
    hadamard,
    matmul_fusion,
    quaternion,
    sum_fusion,
)
from fusionapp.domain.fusion.spec import FusionSpec

_DEFAULT_DIM = 256
_GATE_DIMS = (512, 256)
"""Hidden widths of the predecessors' mixture-of-experts gate."""


@attrs.frozen
class View:
    """What one source gives a fusion: `layers` views of width `dim`, and whether it came in dense."""

    layers: int
    dim: int
    dense: bool

    @property
    def width(self) -> int:
        """Numbers in all layers together."""
        return self.layers * self.dim


def spans_of(views: Sequence[View]) -> tuple[Span, ...]:
    """Where each source stands once all are flattened and concatenated."""
    return tuple(Span(position, view.width) for position, view in enumerate(views))


def common_dim(spec: FusionSpec, views: Sequence[View]) -> int:
    """The width d that sources are projected to: as asked, else the smallest dense dim, else 256."""
    return spec.dim or min((view.dim for view in views if view.dense), default=_DEFAULT_DIM)


class Fusion(nn.Module):
    """Sources, each (seeds, batch, layers, dim), to one (seeds, batch, out_dim).

    Attributes:
        spans: whose numbers come out, from the first to the last.
    """

    spans: tuple[Span, ...]

    @property
    def out_dim(self) -> int:
        """Width of what comes out."""
        return sum(span.width for span in self.spans)


class Concat(Fusion):
    """Every layer of every source side by side."""

    def __init__(self, views: Sequence[View]) -> None:
        super().__init__()
        self.spans = spans_of(views)

    def forward(self, sources: Sequence[Tensor]) -> Tensor:
        """See `Fusion`."""
        return concat(_flat(sources))


class Projections(nn.Module):
    """Each source's layers, concatenated, through a Linear of its own to `dim`."""

    def __init__(self, seeds: int, views: Sequence[View], dim: int, keep_equal: bool = False) -> None:
        super().__init__()
        self.each = nn.ModuleList(
            nn.Identity()
            if keep_equal and view.width == dim
            else StackedLinear(seeds, view.width, dim, reads=[span])
            for view, span in zip(views, spans_of(views), strict=True)
        )

    def forward(self, sources: Sequence[Tensor]) -> list[Tensor]:
        """(seeds, batch, layers, dim_i) each -> (seeds, batch, dim) each."""
        return [project(source) for project, source in zip(self.each, _flat(sources), strict=True)]


class Product(Fusion):
    """sum, hadamard, matmul, quaternion and low_rank: a domain formula over projected sources."""

    def __init__(self, seeds: int, spec: FusionSpec, views: Sequence[View]) -> None:
        super().__init__()
        d = common_dim(spec, views)
        self.formula, width = {
            "sum": (sum_fusion, d),
            "hadamard": (hadamard, d),
            "matmul": (matmul_fusion, spec.product_dim),
            "quaternion": (quaternion, spec.product_dim),
            "low_rank": (low_rank_bilinear, spec.rank),
        }[spec.kind]
        self.spans = (Span(None, width),)
        self.project = Projections(seeds, views, width, keep_equal=spec.kind == "hadamard")

    def forward(self, sources: Sequence[Tensor]) -> Tensor:
        """See `Fusion`."""
        return _unit_variance(self.formula(self.project(sources)))


class AllFeatures(Fusion):
    """The sources beside their sum, quaternion, matmul and hadamard products."""

    def __init__(self, seeds: int, spec: FusionSpec, views: Sequence[View]) -> None:
        super().__init__()
        d, p = common_dim(spec, views), spec.product_dim
        self.project = Projections(seeds, views, d)
        self.project_products = Projections(seeds, views, p)
        self.widths = [*(view.width for view in views), d, p, p, d]
        self.spans = (*spans_of(views), Span(None, d + p + p + d))

    def forward(self, sources: Sequence[Tensor]) -> Tensor:
        """See `Fusion`."""
        joined: Tensor = all_features(_flat(sources), self.project(sources), self.project_products(sources))
        return joined * torch.cat([joined.new_full((width,), width**0.5) for width in self.widths])


class MixtureOfExperts(Fusion):
    """Experts over the concatenated sources, weighed by a gate over the same."""

    def __init__(self, seeds: int, spec: FusionSpec, views: Sequence[View]) -> None:
        super().__init__()
        total = sum(view.width for view in views)
        reads = spans_of(views)
        self.experts = StackedLinear(seeds, total, spec.experts * spec.expert_dim, reads)
        self.gate = StackedMLP(seeds, total, _GATE_DIMS, spec.experts, reads=reads)
        self.spans = (Span(None, spec.expert_dim),)

    def forward(self, sources: Sequence[Tensor]) -> Tensor:
        """See `Fusion`."""
        x = concat(_flat(sources))
        outputs: Tensor = torch.relu(self.experts(x))
        gate: Tensor = self.gate(x)
        return mixture_of_experts(outputs.view(*gate.shape, self.out_dim), gate)


class Gated(Fusion):
    """Gated multimodal unit: each source's tanh projection, weighed by gates that see all sources."""

    def __init__(self, seeds: int, spec: FusionSpec, views: Sequence[View]) -> None:
        super().__init__()
        d, total = common_dim(spec, views), sum(view.width for view in views)
        self.spans = (Span(None, d),)
        self.project = Projections(seeds, views, d)
        self.gate = StackedLinear(seeds, total, len(views) * d, spans_of(views))

    def forward(self, sources: Sequence[Tensor]) -> Tensor:
        """See `Fusion`."""
        hidden = torch.stack([torch.tanh(x) for x in self.project(sources)], dim=-2)
        gate: Tensor = self.gate(concat(_flat(sources)))
        return gated_fusion(hidden, gate.view_as(hidden))


class Attention(Fusion):
    """A learned query attends over every layer of every source.

    Attributes:
        query: (seeds, 1, heads, 1, d / heads).
        place: (seeds, 1, views, d), added so that the query can tell layers and sources apart.
    """

    def __init__(self, seeds: int, spec: FusionSpec, views: Sequence[View]) -> None:
        super().__init__()
        d = common_dim(spec, views)
        self.spans = (Span(None, d),)
        if d % spec.heads:
            raise UsageError(
                f"fusion.heads: {spec.heads} does not divide d = {d}; set fusion.dim or fusion.heads"
            )
        self.project = nn.ModuleList(
            StackedLinear(seeds, view.dim, d, [Span(i, view.dim)]) for i, view in enumerate(views)
        )
        self.key = StackedLinear(seeds, d, d)
        self.value = StackedLinear(seeds, d, d)
        self.query = nn.Parameter(torch.empty(seeds, 1, spec.heads, 1, d // spec.heads))
        self.place = nn.Parameter(torch.empty(seeds, 1, sum(view.layers for view in views), d))

    @torch.no_grad()
    def draw(self, streams: Sequence[torch.Generator]) -> None:
        """Initialise query and places of each seed from its own stream."""
        for seed, stream in enumerate(streams):
            self.query[seed].normal_(generator=stream)
            self.place[seed].normal_(0.0, 0.02, generator=stream)

    def forward(self, sources: Sequence[Tensor]) -> Tensor:
        """See `Fusion`."""
        projected = [_rowwise(project, x) for project, x in zip(self.project, sources, strict=True)]
        x = torch.cat(projected, dim=-2) + self.place
        split = (*x.shape[:-1], self.query.shape[2], -1)
        keys, values = (_rowwise(layer, x).view(split).transpose(-2, -3) for layer in (self.key, self.value))
        query: Tensor = self.query
        return attention_fusion(query, keys, values).flatten(-3)


class Cooccurrence(Fusion):
    """LLMEmbed's whole head input: products of every pair of views, beside the mean of the layers."""

    def __init__(self, seeds: int, spec: FusionSpec, views: Sequence[View], dropout: float) -> None:
        super().__init__()
        self.spec = spec
        d = common_dim(spec, views)
        self.compress = nn.ModuleList(
            nn.Identity()
            if view.dim == d
            else nn.ModuleList(
                StackedLinear(seeds, view.dim, d, [Span(i, view.dim)]) for _ in range(view.layers)
            )
            for i, view in enumerate(views)
        )
        self.dropout = SeedDropout(dropout)
        several = [i for i, view in enumerate(views) if view.layers > 1]
        self.averaged = several or list(range(len(views)))
        v = sum(view.layers for view in views)
        cells = v * v if spec.triangle == "full" else v * (v + 1) // 2
        self.spans = (Span(None, cells), *(Span(i, views[i].dim) for i in self.averaged))

    def forward(self, sources: Sequence[Tensor]) -> Tensor:
        """See `Fusion`."""
        views = torch.cat([self._views(c, x) for c, x in zip(self.compress, sources, strict=True)], dim=-2)
        return cooccurrence_features(
            views,
            concat([sources[i].mean(-2) for i in self.averaged]),
            normalize=self.spec.normalize,
            triangle=self.spec.triangle,
            power=self.spec.power,
            sigma=self.spec.sigma,
        )

    def _views(self, compress: nn.Module, x: Tensor) -> Tensor:
        if not isinstance(compress, nn.ModuleList):
            return x
        layers = [self.dropout(torch.relu(layer(x[:, :, i]))) for i, layer in enumerate(compress)]
        return torch.stack(layers, dim=-2)


def build_fusion(seeds: int, spec: FusionSpec, views: Sequence[View], dropout: float) -> Fusion:
    """The module of a fusion kind; `residual` is the head's business.

    Raises:
        UsageError: it cannot be built over these sources.
    """
    if spec.kind == "concat":
        return Concat(views)
    if spec.kind == "cooccurrence":
        return Cooccurrence(seeds, spec, views, dropout)
    modules: dict[str, type[AllFeatures | MixtureOfExperts | Gated | Attention | Product]] = {
        "all_features": AllFeatures,
        "moe": MixtureOfExperts,
        "gated": Gated,
        "attention": Attention,
    }
    return modules.get(spec.kind, Product)(seeds, spec, views)


def _flat(sources: Sequence[Tensor]) -> list[Tensor]:
    return [source.flatten(-2) for source in sources]


def _rowwise(layer: nn.Module, x: Tensor) -> Tensor:
    """A stacked layer over (seeds, batch, views, dim)."""
    y: Tensor = layer(x.flatten(1, 2))
    return y.view(*x.shape[:-1], -1)


def _unit_variance(unit: Tensor) -> Tensor:
    """Rows of length 1 scaled to numbers of variance about 1, as the layers' initialisation expects."""
    scaled: Tensor = unit * unit.shape[-1] ** 0.5
    return scaled

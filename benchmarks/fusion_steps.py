"""One training step of a fusion or a pooling, forward and backward, and the work that it cannot help doing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import torch
from device_limits import Work, work_of
from torch import Tensor

from fusionapp.adapters.torch_heads.fusions import Attention, View, build_fusion
from fusionapp.adapters.torch_heads.layers import StackedLinear
from fusionapp.adapters.torch_shared.device import automatic_dtype
from fusionapp.adapters.torch_shared.streams import seed_streams
from fusionapp.domain.fusion.products import with_residual
from fusionapp.domain.fusion.spec import FusionKind, FusionSpec
from fusionapp.domain.pooling import PoolingKind, pool

ROWS, DIMS = 4096, (4096, 1024, 1024)
KINDS: tuple[FusionKind, ...] = (
    "concat",
    "sum",
    "hadamard",
    "matmul",
    "quaternion",
    "all_features",
    "moe",
    "cooccurrence",
    "gated",
    "attention",
    "low_rank",
)
SPECS = {
    kind + "+residual" * residual: FusionSpec(kind=kind, residual=residual)
    for residual in (False, True)
    for kind in KINDS
    if not FusionSpec(kind=kind, residual=residual).problems()
}
"""Each fusion, and each that allows it with the sources beside the fused vector."""

POOLINGS: tuple[PoolingKind, ...] = ("mean", "cls", "last")


@attrs.frozen(eq=False)
class Step:
    """A step ready to run.

    Attributes:
        run: forward and backward.
        work: what it cannot help doing.
        dtype: what its matrix products are computed in.
    """

    run: Callable[[], None]
    work: Work
    dtype: torch.dtype


def products_dtype(device: torch.device) -> torch.dtype:
    """What heads are trained in on a device, as `TorchHeadTrainer` chooses it."""
    return torch.bfloat16 if automatic_dtype(device) == torch.bfloat16 else torch.float32


def fusion_step(
    spec: FusionSpec,
    device: torch.device,
    rows: int = ROWS,
    dims: Sequence[int] = DIMS,
    seeds: int = 1,
) -> Step:
    """A fusion of dense sources (seeds, rows, 1, dim), the gradients of sources and weights included."""
    dtype = products_dtype(device)
    fusion = build_fusion(seeds, spec, [View(1, dim, dense=True) for dim in dims], dropout=0.0)
    for module in fusion.modules():
        if isinstance(module, StackedLinear | Attention):
            module.draw(seed_streams(range(seeds), "weights"))
        if isinstance(module, StackedLinear):
            module.train_dtype = dtype
    fusion.to(device).train()
    sources = [torch.randn(seeds, rows, 1, dim, device=device, requires_grad=True) for dim in dims]
    wanted = [*sources, *fusion.parameters()]

    def forward() -> Tensor:
        fused: Tensor = fusion(sources)
        return with_residual([source.flatten(-2) for source in sources], fused) if spec.residual else fused

    upstream = torch.randn_like(forward())

    def run() -> None:
        for tensor in wanted:
            tensor.grad = None
        torch.autograd.backward(forward(), upstream)

    moved = [*wanted, *wanted, upstream, upstream]
    return Step(run, work_of(run, moved), dtype)


def pooling_step(kind: PoolingKind, device: torch.device, rows: int, tokens: int, dim: int) -> Step:
    """Pooling (rows, tokens, dim) states under a mask, with the gradient of the states.

    The states are read where the formula needs them: all of them for a mean, one token a text otherwise. Their
    gradient is written whole.
    """
    states = torch.randn(rows, tokens, dim, device=device, requires_grad=True)
    lengths = torch.randint(1, tokens + 1, (rows, 1), device=device)
    mask = (torch.arange(tokens, device=device) < lengths).long()
    upstream = torch.randn(rows, dim, device=device)

    def run() -> None:
        states.grad = None
        torch.autograd.backward(pool(kind, states, mask), upstream)

    read = states if kind == "mean" else upstream
    moved = [read, states, mask, upstream, upstream]
    return Step(run, work_of(run, moved), torch.float32)

"""What networks of several seeds are made of: every tensor has a leading seeds dimension."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from fusionapp.adapters.torch_shared.seed_dropout import SeedDropout

Module = TypeVar("Module", bound=nn.Module)


class StackedLinear(nn.Module):
    """One linear layer per seed: (seeds, batch, in_dim) -> (seeds, batch, out_dim).

    Made for one seed, as `torch.nn.Linear` draws it; `stack` joins those of several. A seed's tensors lie as those
    of `torch.nn.Linear`, which is how routers are saved.

    Attributes:
        weight: (seeds, out_dim, in_dim).
        bias: (seeds, out_dim), or None.
    """

    def __init__(self, in_dim: int, out_dim: int, bias: bool = True) -> None:
        super().__init__()
        drawn = nn.Linear(in_dim, out_dim, bias)
        self.weight = nn.Parameter(drawn.weight.detach()[None])
        self.bias = nn.Parameter(drawn.bias.detach()[None]) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """(seeds, batch, in_dim) -> (seeds, batch, out_dim)."""
        if self.bias is not None and self.weight.shape[1] == 1:
            # A batched product of single columns takes three times as long and rounds otherwise in a stack of one.
            return (x * self.weight).sum(-1, keepdim=True) + self.bias[:, None]
        if self.bias is None:
            return torch.bmm(x, self.weight.mT)
        return torch.baddbmm(self.bias[:, None], x, self.weight.mT)


def stack(modules: Sequence[Module]) -> Module:
    """The modules of several seeds as one; it is the first, which takes the others' numbers in."""
    whole = modules[0]
    each = [dict(module.named_parameters()) for module in modules]
    for name, parameter in whole.named_parameters():
        parameter.data = torch.cat([parameters[name].data for parameters in each])
    return whole


@torch.no_grad()
def keep(module: nn.Module, optimizers: Sequence[torch.optim.Optimizer], seeds: Sequence[int]) -> None:
    """Keep these positions of a stack and of what its optimisers know, and forget the others."""
    device = next(module.parameters()).device
    kept = torch.tensor(seeds, dtype=torch.int64, device=device)
    for optimizer in optimizers:
        for parameter, state in optimizer.state.items():
            for name, value in state.items():
                if value.shape == parameter.shape:
                    state[name] = value[kept]
    for parameter in module.parameters():
        parameter.grad = None
        parameter.data = parameter.data[kept]
    for part in module.modules():
        if isinstance(part, SeedDropout):
            part.streams = [part.streams[position] for position in seeds]


def set_dropout(module: nn.Module, streams: Sequence[torch.Generator]) -> None:
    """Let each seed's dropout draw from a stream of its own."""
    for part in module.modules():
        if isinstance(part, SeedDropout):
            part.streams = streams


def state_of(module: nn.Module, position: int) -> dict[str, Tensor]:
    """One seed's numbers, copied to the CPU, without the seeds dimension."""
    return {name: value[position].to("cpu", copy=True) for name, value in module.state_dict().items()}


def load_state(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Take one seed's numbers, as `state_of` gives them, into a stack of one."""
    module.load_state_dict({name: value[None] for name, value in state.items()}, assign=True)

"""Muon over stacked matrices; `torch.optim.Muon` takes single ones only."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
_NEWTON_SCHULZ_STEPS = 5
_MOMENTUM = 0.95


def orthogonalize(matrices: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Replace the singular values of each matrix by numbers near 1 (between about 0.7 and 1.2).

    Newton-Schulz iteration with the quintic coefficients of Jordan et al., "Muon: An optimizer for hidden
    layers in neural networks" (2024). A zero matrix stays zero.

    Args:
        matrices: (seeds, rows, columns) float32.
        dtype: what the products are computed in; bfloat16 is enough.
    """
    a, b, c = _NEWTON_SCHULZ
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = (x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-7)).to(dtype)
    for _ in range(_NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    x = x.float()
    return x.mT if tall else x


class StackedMuon(torch.optim.Optimizer):
    """Orthogonalised Nesterov momentum for (seeds, rows, columns) parameters, each seed on its own.

    Updates are scaled by 0.2 sqrt(max(rows, columns)) (Liu et al., "Muon is scalable for LLM training",
    2025; torch's ``match_rms_adamw``), so that learning rate and decoupled weight decay mean
    what they mean to AdamW.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float,
        weight_decay: float,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})
        self._dtype = dtype

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # no closure is ever needed here
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                gradient = parameter.grad
                if gradient is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                state["momentum"].lerp_(gradient, 1 - _MOMENTUM)
                update = orthogonalize(gradient.lerp(state["momentum"], _MOMENTUM), self._dtype)
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(update, alpha=-0.2 * max(parameter.shape[1:]) ** 0.5 * group["lr"])

"""Stepping all parameters of a stacked head: matrices, biases and bags, under one schedule."""

from __future__ import annotations

from math import cos, pi

import torch
from torch import Tensor

from fusionapp.adapters.torch_heads.head import FusionHead
from fusionapp.adapters.torch_heads.layers import StackedLinear
from fusionapp.adapters.torch_heads.muon import StackedMuon
from fusionapp.adapters.torch_heads.row_adam import RowAdam
from fusionapp.domain.recipe import TrainingRecipe


def learning_rate(recipe: TrainingRecipe, step: int, steps: int) -> float:
    """The step size of step 0, 1, ... of `steps`; cosine and linear fall to 0 just after the last."""
    part = step / steps
    factor = {"constant": 1.0, "cosine": (1 + cos(pi * part)) / 2, "linear": 1 - part}[recipe.schedule]
    return recipe.learning_rate * factor


class HeadOptimizer:
    """The optimisers of one stacked head.

    Muon steps hidden matrices; the last layer, biases and learned queries stay with AdamW, as its authors
    advise. Bags are stepped by `RowAdam` under every choice. Matrices and bag rows decay, biases and queries
    do not.
    """

    def __init__(self, head: FusionHead, recipe: TrainingRecipe, steps: int, dtype: torch.dtype) -> None:
        self._recipe, self._steps, self._step = recipe, steps, 0
        self._bags = RowAdam(head.stacked_bags(), recipe.weight_decay)
        matrices = [module.weight for module in head.modules() if isinstance(module, StackedLinear)]
        known = set(map(id, matrices))
        others = [p for p in head.parameters() if p.requires_grad and id(p) not in known]
        self._optimizers: list[torch.optim.Optimizer] = []
        if recipe.optimizer == "muon":
            final = head.classifier.final.weight
            hidden = [p for p in matrices if p is not final]
            if hidden:
                self._optimizers.append(StackedMuon(hidden, recipe.learning_rate, recipe.weight_decay, dtype))
            matrices = [p for p in matrices if p is final]
        adam = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
        groups = [
            {"params": matrices, "weight_decay": recipe.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        # fused: 2.5 times as fast on two cores as the default.
        self._optimizers.append(
            adam([group for group in groups if group["params"]], lr=recipe.learning_rate, fused=True)
        )

    def step(self) -> float:
        """Step everything by the gradients there are, clear them, and return the learning rate used."""
        rate = learning_rate(self._recipe, self._step, self._steps)
        self._step += 1
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
            optimizer.zero_grad()
        self._bags.step(rate)
        return rate

    def keep(self, seeds: Tensor) -> None:
        """Keep the state of these positions of the stack; call before the head drops the others."""
        for optimizer in self._optimizers:
            for parameter, state in optimizer.state.items():
                _keep_state(parameter, state, seeds)
        self._bags.keep(seeds)


def _keep_state(parameter: Tensor, state: dict[str, Tensor], seeds: Tensor) -> None:
    for name, value in state.items():
        if value.shape == parameter.shape:
            state[name] = value[seeds]

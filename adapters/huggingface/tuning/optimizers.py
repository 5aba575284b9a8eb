"""Stepping the trained weights of an encoder under one learning-rate schedule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import attrs
import torch
from torch import Tensor, nn

from fusionapp.adapters.huggingface.tuning.trainable import Trained
from fusionapp.domain.errors import CorruptArtifactError, UsageError

OptimizerName = Literal["adamw", "adam", "muon", "adamw8bit"]


@attrs.frozen(eq=False)
class WeightGroups:
    """Trained weights by how they are stepped.

    Attributes:
        matrices: 2-D weights of layers; they decay, and Muon steps them.
        tables: embedding tables; they decay, and Muon leaves them to AdamW, as its authors advise.
        others: norms, biases, magnitudes; they do not decay.
    """

    matrices: Sequence[nn.Parameter]
    tables: Sequence[nn.Parameter]
    others: Sequence[nn.Parameter]


def group_weights(trained: Trained) -> WeightGroups:
    """An encoder's trained weights, grouped."""
    others = list(trained.others.values())
    return WeightGroups(
        matrices=list(trained.matrices.values()),
        tables=[weight for weight in others if weight.ndim > 1],
        others=[weight for weight in others if weight.ndim <= 1],
    )


class EncoderOptimizer:
    """One or two torch optimisers that act as one.

    Every group's rate is the schedule's times the group's own `times`: a learned temperature is a single number,
    whose steps would be far too small at an encoder's rate.
    """

    def __init__(
        self,
        name: OptimizerName,
        groups: WeightGroups,
        weight_decay: float,
        extra: Mapping[float, Sequence[nn.Parameter]] | None = None,
    ) -> None:
        """Set up for weights on their device.

        Args:
            name: of the optimiser.
            groups: what is stepped.
            weight_decay: of matrices and tables; decoupled, L2 for adam.
            extra: further parameters without decay, by what their rate is multiplied by.

        Raises:
            UsageError: the optimiser cannot run here.
        """
        by_muon, rest = (groups.matrices, []) if name == "muon" else ([], groups.matrices)
        plain: list[dict[str, Any]] = [
            {"params": [*rest, *groups.tables], "weight_decay": weight_decay, "times": 1.0},
            {"params": list(groups.others), "weight_decay": 0.0, "times": 1.0},
        ]
        for times, parameters in (extra or {}).items():
            plain.append({"params": list(parameters), "weight_decay": 0.0, "times": times})
        plain = [group for group in plain if group["params"]]
        self._optimizers: list[torch.optim.Optimizer] = []
        if by_muon:
            group = {"params": list(by_muon), "times": 1.0}
            # Scaled to AdamW's step size: one learning rate then serves both, and the two factors of an adapter,
            # whose shapes are each other's transpose, step alike.
            self._optimizers.append(
                torch.optim.Muon([group], weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
            )
        if plain:
            self._optimizers.append(_adam(name, plain))
        self.parameters: list[nn.Parameter] = [
            weight for one in self._optimizers for group in one.param_groups for weight in group["params"]
        ]

    def step(self, rate: float) -> None:
        """Step everything at this rate by the gradients there are, and clear them."""
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate * group["times"]
            optimizer.step()
            optimizer.zero_grad()

    def zero_grad(self) -> None:
        """Clear gradients."""
        for optimizer in self._optimizers:
            optimizer.zero_grad()

    def state(self) -> tuple[dict[str, Tensor], dict[str, float | int]]:
        """Everything that a step depends on besides weights and gradients: tensors and numbers, by name."""
        tensors: dict[str, Tensor] = {}
        numbers: dict[str, float | int] = {}
        for place, optimizer in enumerate(self._optimizers):
            for row, entries in optimizer.state_dict()["state"].items():
                for key, value in _flat(entries, f"{place}/{row}"):
                    if isinstance(value, Tensor):
                        tensors[key] = value
                    else:
                        numbers[key] = value
        return tensors, numbers

    def load(self, tensors: Mapping[str, Tensor], numbers: Mapping[str, float | int]) -> None:
        """Go on from what `state` gave for the same weights.

        Raises:
            CorruptArtifactError: it is the state of other weights.
        """
        states: list[dict[int, dict[str, Any]]] = [{} for _ in self._optimizers]
        try:
            for key, value in {**tensors, **numbers}.items():
                place, row, *path = key.split("/")
                entries = states[int(place)].setdefault(int(row), {})
                for name in path[:-1]:
                    entries = entries.setdefault(name, {})
                entries[path[-1]] = value
            for optimizer, state in zip(self._optimizers, states, strict=True):
                # Groups hold settings, which are the recipe's.
                optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
        except (KeyError, ValueError, IndexError, RuntimeError) as error:
            raise CorruptArtifactError(
                f"checkpoint: holds the optimiser's state of other weights ({error}); train again"
            ) from error


def _flat(entries: Mapping[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    """Leaves of nested tables, by their path; bitsandbytes nests."""
    for name, value in entries.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{path}/{name}")
        else:
            yield f"{path}/{name}", value


def _adam(name: OptimizerName, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    if name == "adamw8bit":
        return _eight_bit(groups)
    # One kernel for all weights; the default's loop over them takes twice as long on a CPU.
    build = torch.optim.Adam if name == "adam" else torch.optim.AdamW
    return build(groups, fused=True)


def _eight_bit(groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """AdamW whose moments are held in 8 bits, block by block (Dettmers et al. 2022).

    Raises:
        UsageError: bitsandbytes is not installed, or has no such step for this device.
    """
    try:
        from bitsandbytes import optim as library
    except ImportError as error:
        raise UsageError(
            'optimizer: "adamw8bit" needs bitsandbytes; install the extra `tune`, or use "adamw"'
        ) from error
    build: Any = library.AdamW8bit  # type: ignore[attr-defined]  # not named in its __all__
    optimizer: torch.optim.Optimizer = build(groups)
    device = groups[0]["params"][0].device
    trial = nn.Parameter(torch.zeros(128, 64, device=device))
    trial.grad = torch.ones_like(trial)
    try:
        build([trial], lr=1e-3).step()
    except (RuntimeError, NotImplementedError, AttributeError, ValueError) as error:
        raise UsageError(
            f'optimizer: "adamw8bit" does not run on {device.type} with this bitsandbytes ({error}); '
            'use "adamw"'
        ) from error
    if not torch.isfinite(trial).all() or not trial.abs().sum() > 0:
        raise UsageError(
            f'optimizer: "adamw8bit" takes no step on {device.type} with this bitsandbytes; use "adamw"'
        )
    return optimizer

"""The gradient of a loss over more texts than memory holds at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import torch
from torch import Tensor

Part = Callable[[], Tensor]
"""Computes the embeddings of some texts, (texts, dim), under whatever gradient mode and random state there is."""


@attrs.frozen(eq=False)
class RandomState:
    """Where torch's random numbers stand: on the CPU and on one CUDA device."""

    cpu: Tensor
    cuda: Tensor | None

    @classmethod
    def now(cls, device: torch.device) -> RandomState:
        """As it is."""
        cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
        return cls(torch.get_rng_state(), cuda)

    def restore(self, device: torch.device) -> None:
        """Draw the same numbers again."""
        torch.set_rng_state(self.cpu)
        if self.cuda is not None:
            torch.cuda.set_rng_state(self.cuda, device)


def backward(
    parts: Sequence[Part],
    loss: Callable[[Tensor], tuple[Tensor, Tensor]],
    device: torch.device,
) -> Tensor:
    """Add the gradient of a loss over all parts' embeddings to the parameters.

    Gao et al., "Scaling deep contrastive learning batch size under memory limited setup" (2021): embeddings
    are computed without a graph, the loss's gradient by them is taken, and each part is computed once more
    with a graph, under the random numbers of its first time, so that dropout drops the same. The last part keeps
    its graph from the first time: a single part costs nothing extra, and k parts cost k - 1 forward passes.

    Args:
        parts: at least one.
        loss: takes (texts, dim) detached embeddings in the order of the parts and returns a scalar's value and its
            gradient by them; whatever else it trains has its gradient added there.
        device: the encoder's.

    Returns:
        The loss, detached.
    """
    states: list[RandomState] = []
    found: list[Tensor] = []
    for part in parts[:-1]:
        states.append(RandomState.now(device))
        with torch.no_grad():
            found.append(part())
    last = parts[-1]()
    after = RandomState.now(device)
    value, gradient = loss(torch.cat([*found, last.detach()]))
    *pieces, piece = torch.split(gradient, [*map(len, found), len(last)])
    last.backward(piece)  # type: ignore[no-untyped-call]
    del last
    for part, state, piece in zip(parts[:-1], states, pieces, strict=True):
        state.restore(device)
        part().backward(piece)  # type: ignore[no-untyped-call]
    if states:
        after.restore(device)
    return value

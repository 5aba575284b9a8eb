"""Several processes that train one encoder: each embeds its part of a pool, and all see the whole pool's loss."""

from __future__ import annotations

import atexit
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed, nn

from fusionapp.adapters.torch_shared.device import resolve_device
from fusionapp.adapters.torch_shared.launcher import launched
from fusionapp.domain.errors import UsageError

_PATIENCE = timedelta(hours=12)
"""How long a process waits for the others: the leader alone reads, mines and saves. Where one dies, the launcher
stops the rest."""


@attrs.frozen
class Crew:
    """The processes that a launcher (torchrun, accelerate) started, seen by one of them.

    Attributes:
        rank: of this process.
        size: processes.
        device: that this process computes on.
    """

    rank: int
    size: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this process writes files and reports; one alone does."""
        return self.rank == 0

    def share(self, lengths: NDArray[np.int64], rank: int | None = None) -> NDArray[np.int64]:
        """Positions of the texts that a process embeds: dealt in turn by length, so that all do as much."""
        return np.argsort(-lengths, kind="stable")[self.rank if rank is None else rank :: self.size]

    def gather(self, embeddings: Tensor, counts: Sequence[int]) -> Tensor:
        """Everybody's rows, in the order of ranks.

        The gradient needs no way back through here: every process computes the loss of the whole pool from the
        same numbers, takes its own rows of the gradient, and parameters' gradients are summed afterwards.

        Args:
            embeddings: (own texts, dim), without a graph.
            counts: texts of each process.

        Returns:
            (texts, dim).
        """
        if self.size == 1:
            return embeddings
        most = max(counts)
        mine = embeddings.new_zeros(most, embeddings.shape[1])
        mine[: len(embeddings)] = embeddings
        found = [torch.empty_like(mine) for _ in counts]
        distributed.all_gather(found, mine)
        return torch.cat([rows[:count] for rows, count in zip(found, counts, strict=True)])

    def sum_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Add up every process's gradients, in one message."""
        if self.size == 1:
            return
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        distributed.all_reduce(flat)
        pieces = torch.split(flat, [gradient.numel() for gradient in gradients])
        for parameter, piece in zip(parameters, pieces, strict=True):
            parameter.grad = piece.view_as(parameter)

    def spread(self, parameters: Sequence[nn.Parameter]) -> None:
        """Give everybody the leader's values."""
        if self.size > 1:
            for parameter in parameters:
                distributed.broadcast(parameter.data, 0)

    def everyone(self, value: Any) -> list[Any]:
        """What each process has, in the order of ranks; small things alone."""
        if self.size == 1:
            return [value]
        found: list[Any] = [None] * self.size
        distributed.all_gather_object(found, value)
        return found

    def hear(self, value: Any) -> Any:
        """What the leader has; what the others have does not count."""
        if self.size == 1:
            return value
        found = [value if self.leads else None]
        distributed.broadcast_object_list(found, src=0, device=self.device)
        return found[0]

    def wait(self) -> None:
        """Go on when everybody is here."""
        if self.size > 1:
            distributed.barrier()


def assemble(device: str) -> Crew:
    """The crew that the environment tells of, else this process alone.

    Args:
        device: the recipe's; of several processes with "auto" or "cuda", each takes a device of its own.

    Raises:
        UsageError: a launcher's environment, but accelerate is not installed or the device is not there.
    """
    if launched() < 2:
        return Crew(0, 1, resolve_device(device))
    try:
        from accelerate import Accelerator, InitProcessGroupKwargs
    except ImportError as error:
        raise UsageError(
            "train: a launcher started several processes, which need accelerate; install the extra `tune`, or "
            "start one process"
        ) from error
    on_cpu = resolve_device(device).type == "cpu"
    patient = InitProcessGroupKwargs(timeout=_PATIENCE)
    accelerator: Any = Accelerator(cpu=on_cpu, kwargs_handlers=[patient])
    atexit.unregister(_leave)
    atexit.register(_leave)
    return Crew(accelerator.process_index, accelerator.num_processes, accelerator.device)


def _leave() -> None:
    """NCCL warns of processes that go without a word."""
    if distributed.is_initialized():
        distributed.destroy_process_group()

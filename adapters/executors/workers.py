"""What runs in a worker, whoever started it: one encoder, one part after the other."""

from __future__ import annotations

import os
from collections.abc import Sequence

import attrs

from fusionapp.application.ports.encoder import Encoder
from fusionapp.domain.embeddings import Encoding, ExecutionPlan
from fusionapp.domain.errors import UsageError


def cpu_share(workers: int) -> int:
    """Threads for each of so many workers, so that together they take this machine's cores and no more."""
    return max(1, (os.cpu_count() or 1) // workers)


def limit_threads(threads: int) -> None:
    """Hold this process to so many threads: before torch is imported by the environment, after it by call."""
    os.environ.update(
        dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"), str(threads))
    )
    import torch

    torch.set_num_threads(threads)


def device_of(plan: ExecutionPlan, worker: int) -> str:
    """The device of one of several workers: they take turns over the CUDA devices there are."""
    if not plan.device.startswith("cuda"):
        return plan.device
    import torch

    return f"cuda:{worker % torch.cuda.device_count()}"


def count_workers(asked: int | None, plan: ExecutionPlan) -> int:
    """How many workers: as asked, else one a GPU, or two on a CPU, whose cores they share.

    Raises:
        UsageError: fewer than one.
    """
    if asked is not None:
        if asked < 1:
            raise UsageError(f"extract.workers: {asked} must be at least 1")
        return asked
    if plan.device.startswith("cuda"):
        import torch

        return torch.cuda.device_count()
    return min(2, os.cpu_count() or 1)


def encode_part(encoder: Encoder, texts: Sequence[str], plan: ExecutionPlan, device: str) -> Encoding:
    """One part, on the worker's own device."""
    return encoder.encode(texts, attrs.evolve(plan, device=device))

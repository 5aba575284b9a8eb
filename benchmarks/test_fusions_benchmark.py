"""Pooling and fusions, forward and backward over 4,096 rows of dims 4096, 1024 and 1024, beside what bounds them.

`extra_info` holds the bytes that must move, the operations of the matrix products, the two limits in seconds, and
`ratio`, the median time over the larger limit.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from device_limits import Rates, synchronize
from fusion_steps import POOLINGS, ROWS, SPECS, Step, fusion_step, pooling_step

DEVICES = [
    "cpu",
    pytest.param(
        "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
    ),
]
TOKENS = 16


@cache
def rates(device: torch.device, dtype: torch.dtype) -> Rates:
    return Rates.measure(device, dtype)


def measure(benchmark: Any, step: Step, device: torch.device) -> None:
    """Run a step and keep how far it is from its limits."""

    def run() -> None:
        step.run()
        synchronize(device)

    benchmark.pedantic(run, rounds=10 if device.type == "cuda" else 5, warmup_rounds=2)
    reached = rates(device, step.dtype)
    limits = step.work.limits(reached)
    benchmark.extra_info.update(
        limits,
        moved_bytes=step.work.moved,
        multiplied=step.work.multiplied,
        bandwidth=reached.bandwidth,
        products=reached.products,
        dtype=str(step.dtype),
    )
    if benchmark.stats is not None:  # None under --benchmark-disable
        benchmark.extra_info["ratio"] = benchmark.stats.stats.median / limits["limit_seconds"]


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("device", DEVICES)
def test_fusion(benchmark: Any, device: str, name: str) -> None:
    where = torch.device(device)
    measure(benchmark, fusion_step(SPECS[name], where), where)


@pytest.mark.parametrize("dim", [1024, 4096])
@pytest.mark.parametrize("kind", POOLINGS)
@pytest.mark.parametrize("device", DEVICES)
def test_pooling(benchmark: Any, device: str, kind: Any, dim: int) -> None:
    where = torch.device(device)
    measure(benchmark, pooling_step(kind, where, ROWS, TOKENS, dim), where)

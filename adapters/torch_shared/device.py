"""Choosing a device and a compute dtype, and refusing what is not there."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch

from fusionapp.domain.errors import UsageError


def resolve_device(name: str) -> torch.device:
    """The device that a setting names; "auto" is the first CUDA device where there is one, else the CPU.

    Raises:
        UsageError: a CUDA device was asked for and is not there; the CPU never takes its place in silence.
    """
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f'device: {name!r} is not a device; use "auto", "cpu" or "cuda:0"') from error
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise UsageError(
                f"device: {name!r} was asked for, but torch {torch.__version__} sees no CUDA device; "
                'check the driver with `fusionapp doctor`, or set device = "cpu"'
            )
        if device.index is not None and device.index >= torch.cuda.device_count():
            raise UsageError(f"device: {name!r} does not exist; this machine has {torch.cuda.device_count()}")
        return torch.device("cuda", device.index or 0)
    if device.type != "cpu":
        raise UsageError(f'device: {name!r} is not supported; use "auto", "cpu" or "cuda:0"')
    return device


def peak_memory(name: str) -> int:
    """Most bytes that torch has taken on a CUDA device so far; 0 for any other device."""
    device = torch.device(name) if name.startswith("cuda") else None
    return 0 if device is None else int(torch.cuda.max_memory_allocated(device))


def free_cached_memory() -> None:
    """Give back the GPU memory that torch keeps of tensors that are gone."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@cache
def cpu_accelerates_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 matrices in hardware; elsewhere bfloat16 is far slower.

    AMX does (8 times float32's rate), and so does AVX-512 BF16 (4.6 times on a Zen 5).
    """
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return "amx_bf16" in flags or "avx512_bf16" in flags


def automatic_dtype(device: torch.device) -> torch.dtype:
    """The fastest dtype that a device computes embeddings in without visible loss."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return torch.bfloat16 if cpu_accelerates_bfloat16() else torch.float32

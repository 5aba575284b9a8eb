"""What a run was computed on: kept beside its results."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from fusionapp.adapters.machine.packages import installed_versions
from fusionapp.adapters.torch_shared.device import resolve_device


def describe_environment(device: str) -> dict[str, Any]:
    """Versions, git commit, processor and device, as JSON values. No variable of the environment is kept.

    Args:
        device: as the experiment has it; "auto" is kept as the device that it stands for here.

    Raises:
        UsageError: there is no such device.
    """
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "memory_bytes": _memory_bytes(),
        "device": str(resolve_device(device)),
        "gpus": _gpus(),
        "packages": installed_versions(),
        "git_commit": git_commit(Path.cwd()),
    }


def processor() -> str:
    """The processor's model name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def _gpus() -> list[str]:
    import torch

    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def git_commit(directory: Path) -> str | None:
    """The commit checked out in the working directory, with "+" where files differ; None outside git."""
    try:
        head = _git(directory, "rev-parse", "HEAD")
        return head + ("+" if _git(directory, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(directory: Path, *arguments: str) -> str:
    command = ["git", "-C", str(directory), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()  # noqa: S603

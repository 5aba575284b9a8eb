"""Results as JSON: what was measured, on which machine, with which versions, when."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fusionapp.adapters.machine.environment import describe_environment
from fusionapp.adapters.machine.packages import installed_version

RESULTS = Path(__file__).parent / "results"
COMPARED = ("scikit-learn", "sentence-transformers", "setfit", "array-api-compat", "attrs")
"""Packages beside those that `describe_environment` lists."""


def describe_machine(device: str = "auto") -> dict[str, Any]:
    """Processor, memory, device and versions."""
    machine = describe_environment(device)
    packages = {name: installed_version(name) for name in COMPARED}
    machine["packages"] |= {name: version for name, version in packages.items() if version}
    return machine


def save_result(
    name: str,
    settings: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    device: str = "auto",
    output: Path | None = None,
) -> Path:
    """Write ``results/NAME.json``, or `output`, whole or not at all, and return its path."""
    content = {
        "benchmark": name,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": describe_machine(device),
        "settings": dict(settings),
        "results": [dict(result) for result in results],
    }
    path = output or RESULTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    unfinished.replace(path)
    return path

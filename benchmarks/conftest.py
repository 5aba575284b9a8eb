"""What pytest-benchmark writes: the machine as the other results have it, and no list of every single round."""

from __future__ import annotations

from typing import Any

from result_file import describe_machine


def pytest_benchmark_update_machine_info(config: Any, machine_info: dict[str, Any]) -> None:
    machine_info.clear()
    machine_info.update(describe_machine())


def pytest_benchmark_update_json(config: Any, benchmarks: Any, output_json: dict[str, Any]) -> None:
    for benchmark in output_json["benchmarks"]:
        benchmark["stats"].pop("data", None)

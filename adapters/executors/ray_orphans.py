"""Ending what an embedded Ray cluster would leave behind a killed process.

Most of Ray's processes go with the one that started them; its agents look for the others for a minute first.
"""

from __future__ import annotations

from contextlib import suppress
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess

from fusionapp.adapters.torch_shared.processes import deaf_to_interrupts


def watch() -> BaseProcess:
    """Start a process that ends Ray's should this one be killed; terminate it after Ray's own shutdown."""
    process = get_context("spawn").Process(target=_outlive_parent, name="ray-orphans", daemon=True)
    with deaf_to_interrupts():
        process.start()
    return process


def _outlive_parent() -> None:
    import ray  # noqa: F401  # brings psutil along
    from psutil import NoSuchProcess, Process

    parent = parent_process()
    assert parent is not None, "called in a worker process"
    found: set[Process] = set()
    with suppress(NoSuchProcess):
        while not wait([parent.sentinel], timeout=0.5):
            raylets = [child for child in Process(parent.pid).children() if child.name() == "raylet"]
            found.update(raylets, *(raylet.children() for raylet in raylets))
    for process in found:  # psutil never takes another process for one that had its number
        with suppress(NoSuchProcess):
            process.kill()

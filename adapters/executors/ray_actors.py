"""Encoding by the actors of a Ray cluster, one part a task."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from multiprocessing.process import BaseProcess
from typing import Any

from fusionapp.adapters.executors.crews import Crew, CrewExecutor
from fusionapp.adapters.executors.ray_crew import RayCrew
from fusionapp.adapters.executors.ray_orphans import watch
from fusionapp.adapters.executors.workers import PATIENCE
from fusionapp.application.ports.encoder import Encoder
from fusionapp.domain.embeddings import ExecutionPlan
from fusionapp.domain.errors import UpstreamError, UsageError


class RayExecutor(CrewExecutor):
    """Actors, each with weights of its own; one that dies or hangs is replaced, and its part done again.

    What is done is decided by the store, never by Ray. The model and fusionapp must be installed on every node.

    Args:
        workers: how many actors; None is one a GPU of the cluster, or its CPUs less one, at most four.
        address: of an existing cluster ("auto", "ray://host:10001"); None is RAY_ADDRESS, else a cluster on
            this machine's loopback address that ends with the job.
        patience: seconds without a batch until an actor is taken to hang.
    """

    def __init__(
        self, workers: int | None = None, address: str | None = None, patience: float = PATIENCE
    ) -> None:
        super().__init__()
        self._workers = workers
        self._address = address
        self._patience = patience
        self._connected: Any = None
        self._watch: BaseProcess | None = None

    def close(self) -> None:
        """End the actors, and the cluster where it was started here."""
        super().close()
        ray, self._connected = self._connected, None
        if ray is not None:
            ray.shutdown()
        orphans, self._watch = self._watch, None
        if orphans is not None:
            orphans.kill()
            orphans.join()

    def _hire(self, encoder: Encoder, plan: ExecutionPlan) -> Crew[Any]:
        address = self._address or os.environ.get("RAY_ADDRESS")
        ray = _import({} if address else _EMBEDDED)
        if not ray.is_initialized():
            self._connected = ray
            self._watch = None if address else watch()
            _connect(ray, address)
        cuda = plan.device.startswith("cuda")
        return RayCrew(ray, encoder, self._workers, cuda=cuda, patience=self._patience)


_SETTINGS = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
_EMBEDDED = {
    # Otherwise Ray takes 127.0.0.1 for this machine's address in its network, and listens there.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}


def _import(settings: Mapping[str, str]) -> Any:
    """Ray reads its settings from the environment, most of them when it is imported."""
    for name, value in {**_SETTINGS, **settings}.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        raise UsageError(
            'extract.executor: "ray" needs the package ray; install the extra `distributed`'
        ) from error
    return ray


def _connect(ray: Any, address: str | None) -> None:
    embedded: dict[str, Any] = {
        "include_dashboard": False,
        "_node_ip_address": "127.0.0.1",
        # Actors here import what this process imports, from the same places.
        "runtime_env": {"env_vars": {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}},
    }
    try:
        ray.init(
            address=address,
            log_to_driver=False,
            logging_level=logging.ERROR,
            **({} if address else embedded),
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UpstreamError(
            f"executor: no Ray cluster at {address or 'this machine'}: {error}; see RAY_ADDRESS, or leave it "
            "out to start one here"
        ) from error

"""What sessions of retrieval and of routing have in common."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import attrs

from fusionapp.adapters.machine.packages import refuse_conflicts
from fusionapp.entrypoints.experiment.environment import read_environment
from fusionapp.entrypoints.experiment.structure import unstructure
from fusionapp.entrypoints.retrieval.schema import RetrievalExperiment
from fusionapp.entrypoints.routing.schema import RoutingExperiment
from fusionapp.entrypoints.session import root_beside, run_settings

Directory = str | os.PathLike[str]
E = TypeVar("E", RetrievalExperiment, RoutingExperiment)
S = TypeVar("S")


@attrs.frozen
class TaskSession(Generic[E]):
    """An experiment and the container built for it.

    Attributes:
        experiment: what is to be done.
        resolved: the same as plain JSON values.
        container: adapters and services.
    """

    experiment: E
    resolved: Mapping[str, Any]
    container: Any

    @property
    def services(self) -> Any:
        """The use cases (dependency-injector types them as Any; a test builds every one)."""
        return self.container.services

    @property
    def gateways(self) -> Any:
        """The adapters."""
        return self.container.gateways

    @property
    def seeds(self) -> Sequence[int]:
        """seed ... seed + n - 1."""
        return range(self.experiment.seed, self.experiment.seed + self.experiment.train.seeds)

    @property
    def storage(self) -> dict[str, Any]:
        """The store's adapter and its root as seen from the run directory, so that both can be moved together."""
        storage = self.experiment.storage
        return {
            "adapter": storage.adapter,
            "root": root_beside(storage.root, self.gateways.runs().directory),
        }


def wire(
    session: Callable[[E, Mapping[str, Any], Any], S],
    container: Any,
    experiment: E,
    runs: Directory,
    quiet: bool,
    run: Path | None,
) -> S:
    """A session of an experiment.

    Args:
        session: its class.
        container: to be configured.
        experiment: what is to be done.
        runs: directory of run directories.
        quiet: show no progress bars.
        run: the run directory, where it is not ``runs/NAME``.

    Raises:
        UsageError: installed packages exclude each other.
    """
    refuse_conflicts()
    resolved = unstructure(experiment)
    place = run or Path(runs) / experiment.name
    container.config.from_dict(run_settings(resolved, place, quiet, read_environment()))
    return session(experiment, resolved, container)

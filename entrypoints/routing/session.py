"""One routing experiment with everything wired behind it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from fusionapp.adapters.machine.packages import refuse_conflicts
from fusionapp.application.ports.encoder import Encoder
from fusionapp.domain.errors import CorruptArtifactError
from fusionapp.entrypoints.experiment.environment import read_environment
from fusionapp.entrypoints.experiment.structure import unstructure
from fusionapp.entrypoints.routing.containers import RoutingApplication
from fusionapp.entrypoints.routing.schema import RoutingExperiment
from fusionapp.entrypoints.session import build_encoders, root_beside, run_settings

Directory = str | os.PathLike[str]


@attrs.frozen
class RoutingSession:
    """An experiment and the container built for it.

    Attributes:
        experiment: what is to be done.
        resolved: the same as plain JSON values.
        container: adapters and services.
        tuned: by name, what of an encoder's table changes where the run tuned it; `model` is a place in the run.
    """

    experiment: RoutingExperiment
    resolved: Mapping[str, Any]
    container: RoutingApplication
    tuned: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict)

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

    @property
    def encoder_tables(self) -> dict[str, Mapping[str, Any]]:
        """Every encoder's table as plain values, in file order; a tuned one's model is a place in the run."""
        return {
            name: {**table, **self.tuned.get(name, {})} for name, table in self.resolved["encoders"].items()
        }

    def encoders(self) -> dict[str, Encoder]:
        """The experiment's encoders by name, in file order; no weights are loaded."""
        run = Path(self.gateways.runs().directory)
        tables = {
            name: located(table, run) if name in self.tuned else table
            for name, table in self.encoder_tables.items()
        }
        return build_encoders(self.gateways, tables)


def located(table: Mapping[str, Any], run: Path) -> dict[str, Any]:
    """The table of an encoder that a run tuned, with its model's place.

    Raises:
        CorruptArtifactError: the run lacks it.
    """
    model = run / table["model"]
    if not model.is_dir():
        raise CorruptArtifactError(f"{model}: the encoder that this run tuned is gone; train again")
    return {**table, "model": str(model)}


def open_routing(
    experiment: RoutingExperiment, runs: Directory = "runs", quiet: bool = False, run: Path | None = None
) -> RoutingSession:
    """Wire an experiment; arguments as of `open_session`.

    Raises:
        UsageError: installed packages exclude each other.
    """
    refuse_conflicts()
    resolved = unstructure(experiment)
    container = RoutingApplication()
    run = run or Path(runs) / experiment.name
    container.config.from_dict(run_settings(resolved, run, quiet, read_environment()))
    return RoutingSession(experiment, resolved, container)

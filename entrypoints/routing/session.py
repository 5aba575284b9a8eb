"""One routing experiment with everything wired behind it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from fusionapp.application.ports.encoder import Encoder
from fusionapp.domain.errors import CorruptArtifactError
from fusionapp.entrypoints.routing.containers import RoutingApplication
from fusionapp.entrypoints.routing.schema import RoutingExperiment
from fusionapp.entrypoints.session import build_encoders
from fusionapp.entrypoints.task_session import Directory, TaskSession, wire


@attrs.frozen
class RoutingSession(TaskSession[RoutingExperiment]):
    """An experiment and the container built for it.

    Attributes:
        tuned: by name, what of an encoder's table changes where the run tuned it; `model` is a place in the run.
    """

    tuned: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict)

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
    """Wire an experiment; arguments and errors as of `wire`."""
    return wire(RoutingSession, RoutingApplication(), experiment, runs, quiet, run)

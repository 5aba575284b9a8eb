"""One retrieval experiment with everything wired behind it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from fusionapp.adapters.machine.packages import refuse_conflicts
from fusionapp.application.services.extract_pairs import RoleEncoders
from fusionapp.entrypoints.experiment.environment import read_environment
from fusionapp.entrypoints.experiment.structure import unstructure
from fusionapp.entrypoints.retrieval.containers import RetrievalApplication
from fusionapp.entrypoints.retrieval.roles import role_tables
from fusionapp.entrypoints.retrieval.schema import RetrievalExperiment
from fusionapp.entrypoints.session import build_encoders, root_beside, run_settings

Directory = str | os.PathLike[str]


@attrs.frozen
class RetrievalSession:
    """An experiment and the container built for it.

    Attributes:
        experiment: what is to be done.
        resolved: the same as plain JSON values.
        container: adapters and services.
    """

    experiment: RetrievalExperiment
    resolved: Mapping[str, Any]
    container: RetrievalApplication

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

    def roles(self, name: str, model: Directory | None = None) -> RoleEncoders:
        """One of the experiment's encoders as a reader of queries and of documents; no weights are loaded.

        Args:
            name: its name in the experiment.
            model: read by this directory's weights instead.
        """
        tables = role_tables(self.resolved["encoders"][name], None if model is None else os.fspath(model))
        return RoleEncoders(**build_encoders(self.gateways, tables))


def open_retrieval(
    experiment: RetrievalExperiment,
    runs: Directory = "runs",
    quiet: bool = False,
    run: Path | None = None,
) -> RetrievalSession:
    """Wire an experiment; arguments as of `open_session`.

    Raises:
        UsageError: installed packages exclude each other.
    """
    refuse_conflicts()
    resolved = unstructure(experiment)
    container = RetrievalApplication()
    run = run or Path(runs) / experiment.name
    container.config.from_dict(run_settings(resolved, run, quiet, read_environment()))
    return RetrievalSession(experiment, resolved, container)

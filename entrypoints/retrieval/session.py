"""One retrieval experiment with everything wired behind it."""

from __future__ import annotations

import os
from pathlib import Path

import attrs

from fusionapp.application.services.extract_parts import PartEncoders
from fusionapp.entrypoints.retrieval.containers import RetrievalApplication
from fusionapp.entrypoints.retrieval.roles import role_tables
from fusionapp.entrypoints.retrieval.schema import RetrievalExperiment
from fusionapp.entrypoints.session import build_encoders
from fusionapp.entrypoints.task_session import Directory, TaskSession, wire


@attrs.frozen
class RetrievalSession(TaskSession[RetrievalExperiment]):
    """An experiment and the container built for it."""

    def roles(self, name: str, model: Directory | None = None) -> PartEncoders:
        """One of the experiment's encoders as a reader of queries and of documents; no weights are loaded.

        Args:
            name: its name in the experiment.
            model: read by this directory's weights instead.
        """
        tables = role_tables(self.resolved["encoders"][name], None if model is None else os.fspath(model))
        return PartEncoders(**build_encoders(self.gateways, tables))


def open_retrieval(
    experiment: RetrievalExperiment, runs: Directory = "runs", quiet: bool = False, run: Path | None = None
) -> RetrievalSession:
    """Wire an experiment; arguments and errors as of `wire`."""
    return wire(RetrievalSession, RetrievalApplication(), experiment, runs, quiet, run)

"""Encoding in several processes of this machine."""

from __future__ import annotations

from typing import Any

from fusionapp.adapters.executors.crews import Crew, CrewExecutor
from fusionapp.adapters.executors.process_crew import ProcessCrew
from fusionapp.adapters.executors.workers import PATIENCE, count_workers
from fusionapp.application.ports.encoder import Encoder
from fusionapp.domain.embeddings import ExecutionPlan


class ProcessExecutor(CrewExecutor):
    """Worker processes, each with weights of its own; one that dies or hangs is replaced, and its part done again.

    Args:
        workers: how many; None is one a GPU, or two on a CPU.
        patience: seconds without a batch until a worker is taken to hang.
    """

    def __init__(self, workers: int | None = None, patience: float = PATIENCE) -> None:
        super().__init__()
        self._workers = workers
        self._patience = patience

    def _hire(self, encoder: Encoder, plan: ExecutionPlan) -> Crew[Any]:
        return ProcessCrew(encoder, count_workers(self._workers, plan), self._patience)

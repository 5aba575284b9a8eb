"""Which module carries out `extract`, `train` and `evaluate` of an experiment that is no classification."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from fusionapp.entrypoints.retrieval.schema import RetrievalExperiment
from fusionapp.entrypoints.routing.schema import RoutingExperiment


def task_commands(experiment: RetrievalExperiment | RoutingExperiment) -> Any:
    """The module of its task's commands, imported now."""
    task = "retrieval" if isinstance(experiment, RetrievalExperiment) else "routing"
    return import_module(f"fusionapp.entrypoints.{task}.commands")

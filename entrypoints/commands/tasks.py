"""Which modules carry out `extract`, `train` and `evaluate` of an experiment that is no classification."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Literal

from fusionapp.entrypoints.retrieval.schema import RetrievalExperiment
from fusionapp.entrypoints.routing.schema import RoutingExperiment


def task_module(
    experiment: RetrievalExperiment | RoutingExperiment, name: Literal["api", "commands", "planning"]
) -> Any:
    """A module of its task, imported now."""
    task = "retrieval" if isinstance(experiment, RetrievalExperiment) else "routing"
    return import_module(f"fusionapp.entrypoints.{task}.{name}")

"""What `extract` would do of an experiment of ``kind = "route"``."""

from __future__ import annotations

from collections.abc import Sequence
from tempfile import TemporaryDirectory

from fusionapp.application.services.plan_extraction import PlannedSet, plan_set
from fusionapp.domain.splits import chosen_splits
from fusionapp.entrypoints.routing.schema import RoutingExperiment
from fusionapp.entrypoints.routing.session import open_routing
from fusionapp.entrypoints.routing.steps import read_answers


def plan(experiment: RoutingExperiment, splits: Sequence[str] = ()) -> list[PlannedSet]:
    """One line per encoder and split. The prompts are read and their tokens counted; nothing is kept.

    Raises:
        UsageError: the dataset has no such split.
    """
    with TemporaryDirectory() as scratch:
        session = open_routing(experiment, scratch)
        names = chosen_splits(read_answers(session).splits, splits)
        spool, store = session.gateways.spool(), session.gateways.store()
        return [
            plan_set(store, name, encoder, split, spool.read(split), experiment.storage.shard_rows)
            for name, encoder in session.encoders().items()
            for split in names
        ]

"""What `extract` would do of an experiment of ``kind = "retrieve"``."""

from __future__ import annotations

from collections.abc import Sequence
from tempfile import TemporaryDirectory

from fusionapp.application.services.extract_parts import PARTS
from fusionapp.application.services.plan_extraction import PlannedSet, plan_set
from fusionapp.domain.splits import chosen_splits
from fusionapp.entrypoints.retrieval.schema import RetrievalExperiment
from fusionapp.entrypoints.retrieval.session import open_retrieval
from fusionapp.entrypoints.retrieval.steps import read_pairs


def plan(experiment: RetrievalExperiment, splits: Sequence[str] = ()) -> list[PlannedSet]:
    """One line per encoder and part. The pairs are read and their tokens counted; nothing is kept.

    Raises:
        UsageError: the dataset has no such split.
    """
    with TemporaryDirectory() as scratch:
        session = open_retrieval(experiment, scratch)
        names = chosen_splits(read_pairs(session).splits, splits)
        spool, store = session.gateways.spool(), session.gateways.store()
        rows = experiment.storage.shard_rows
        return [
            plan_set(store, name, session.roles(name).of(part), part, spool.read(part), rows)
            for name in experiment.encoders
            for part in (f"{split}.{kind}" for split in names for kind in PARTS)
        ]

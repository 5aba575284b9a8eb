"""The encoders that a run tuned, in the place of the experiment's own."""

from __future__ import annotations

from pathlib import Path

import attrs

from fusionapp.application.services.guard_experiment import differences
from fusionapp.application.services.tune_classifier import TUNED
from fusionapp.domain.errors import UsageError
from fusionapp.entrypoints.session import Session

FROZEN = "frozen"
"""The run directory, below the run's own, of the same experiment without tuning."""


def with_tuned_encoders(session: Session) -> Session:
    """The session with the encoders that its run tuned and kept, where it did so by these settings."""
    if not session.experiment.train.tune_encoders:
        return session
    runs = session.gateways.runs()
    found = runs.read_document(TUNED)
    if found is None or found["basis"] is None or not found["kept"]:
        return session
    settings = {key: session.resolved[key] for key in ("seed", "fusion", "train")}
    encoders = session.resolved["encoders"]
    tables = {name: one["settings"] for name, one in found["basis"]["encoders"].items()}
    if any(differences(found["basis"]["settings"], settings)) or any(
        differences({"encoders": tables}, {"encoders": encoders})
    ):
        return session
    tuned = {
        name: {**encoders[name], **table, "model": str(Path(runs.directory, table["model"]))}
        for name, table in found["encoders"].items()
    }
    return attrs.evolve(session, tuned=tuned)


def refuse_tuned(session: Session, what: str, way_out: str) -> None:
    """Refuse what does not go with tuned encoders.

    Raises:
        UsageError: the experiment tunes encoders.
    """
    if session.experiment.train.tune_encoders:
        raise UsageError(f"{what} does not go with train.tune_encoders; {way_out}")

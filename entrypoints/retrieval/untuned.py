"""What an evaluation without training was made of, kept beside it, so that it is not mistaken for another."""

from __future__ import annotations

from typing import Any

from fusionapp.application.services.guard_experiment import differences
from fusionapp.application.services.read_pairs import PairsRead
from fusionapp.domain.errors import UsageError
from fusionapp.entrypoints.retrieval.session import RetrievalSession
from fusionapp.entrypoints.retrieval.steps import carried_data, carried_encoder

EVALUATED = "evaluated.json"
SETTINGS = ("similarity", "matryoshka_dims")
"""Of ``[train]``, those that say how vectors are compared; where nothing is trained, the rest says nothing."""


def carry_untuned(session: RetrievalSession, read: PairsRead) -> dict[str, Any]:
    """What the numbers of an encoder as it comes hang on, beside ``[evaluate]``: itself, data and settings."""
    return {
        "encoders": carried_encoder(session),
        "data": carried_data(session, list(read.splits)),
        "settings": {"train": {key: session.resolved["train"][key] for key in SETTINGS}},
    }


def refuse_other(session: RetrievalSession, carried: dict[str, Any]) -> None:
    """Refuse a run that holds an evaluation of another encoder, or of other data or settings.

    Raises:
        UsageError: it is one.
    """
    runs = session.gateways.runs()
    earlier = runs.read_document(EVALUATED)
    changed = [] if earlier is None else list(differences(earlier, carried))
    if changed:
        raise UsageError(
            f"{runs.directory} holds an evaluation of another encoder, or of other data or settings (changed: "
            f"{', '.join(changed)}); choose another `name`, or give --overwrite to evaluate anew"
        )

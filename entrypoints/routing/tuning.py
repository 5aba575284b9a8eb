"""`train.tune_encoder`: routers over the untuned encoder, a tuned one, and routers over that if better."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import attrs
import numpy as np

from fusionapp.application.services.extract_parts import PartsExtraction
from fusionapp.application.services.guard_experiment import differences
from fusionapp.application.services.read_answers import AnswersRead
from fusionapp.application.services.router_metrics import Contestant
from fusionapp.application.services.train_router import GROUP, RouterTraining
from fusionapp.application.services.tune_router_encoder import TUNED, RouterTuning, keep_better
from fusionapp.entrypoints.routing.reports import UNTUNED
from fusionapp.entrypoints.routing.session import RoutingSession
from fusionapp.entrypoints.routing.steps import (
    carried_settings,
    carry,
    contestant_of,
    extract,
    load_split,
    train,
)

logger = logging.getLogger(__name__)

BEFORE = "untuned"
"""The directory of a run's routers over the encoder as it was."""


def train_tuned(session: RoutingSession, read: AnswersRead, overwrite: bool = False) -> RouterTraining:
    """The routers over the tuned encoder, or over the untuned one, whichever are better on validation.

    What an earlier call finished is not done again.

    Raises:
        UsageError: the encoder cannot be tuned.
    """
    plain = attrs.evolve(session, tuned={})
    runs = session.gateways.runs()
    extraction = extract(plain, read)
    untuned = train(plain, extraction, BEFORE, overwrite)
    tuning: RouterTuning = session.services.tune_encoder()(
        recipe=session.experiment.train,
        encoder=session.experiment.tuned_encoder,
        seed=session.experiment.seed,
        train=load_split(plain, extraction, "train").answered,
        validation=load_split(plain, extraction, "validation").answered,
        basis=carry(plain, extraction),
    )
    training = None
    if tuning.kept is not False and tuning.table is not None:
        tuned = attrs.evolve(session, tuned={tuning.encoder: tuning.table})
        training = train(tuned, extract(tuned, read), GROUP, overwrite)
        tuning = keep_better(runs, tuning, untuned, training)
    if training is None or not tuning.kept:
        logger.warning("tuning did not improve on the untuned encoder, which stays")
        training = train(plain, extract(plain, read), GROUP, overwrite)
    summary = {key: value for key, value in tuning.document.items() if key not in ("basis", "table")}
    return attrs.evolve(training, tuning=summary)


def with_tuned_encoder(session: RoutingSession) -> RoutingSession:
    """The session with the encoder that its run tuned and kept, where it did so by these settings."""
    if not session.experiment.train.tune_encoder:
        return session
    found = session.gateways.runs().read_document(TUNED)
    if found is None or found["basis"] is None or not found["kept"]:
        return session
    basis = found["basis"]
    before = {
        "settings": basis["settings"],
        "encoders": {name: one["settings"] for name, one in basis["encoders"].items()},
    }
    now = {
        "settings": carried_settings(session),
        "encoders": session.resolved["encoders"],
    }
    if any(differences(before, now)):
        return session
    return attrs.evolve(session, tuned={found["encoder"]: found["table"]})


def untuned_rivals(
    session: RoutingSession, extraction: PartsExtraction, read: AnswersRead, split: str
) -> Sequence[Contestant]:
    """What routers over the untuned encoder say of the prompts that those over the tuned one are judged by.

    Its extraction takes the place of the tuned encoder's in the run's inventory: extract anew afterwards.
    """
    if not session.tuned:
        return []
    plain = attrs.evolve(session, tuned={})
    before = extract(plain, read)
    training = train(plain, before, BEFORE)
    test, judged = load_split(plain, before, split), load_split(session, extraction, split)
    if not np.array_equal(test.rows, judged.rows):
        logger.warning("%s: left out, as both encoders quarantined different prompts of %s", UNTUNED, split)
        return []
    routers = [plain.gateways.routers().open([router.directory]) for router in training.routers]
    return [contestant_of(UNTUNED, routers, test.answered.prompts)]

"""`train.tune_encoders`: a frozen run first, in ``runs/NAME/frozen``, and a tuned one that starts from it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from fusionapp.application.services.gather_embeddings import SplitEmbeddings
from fusionapp.application.services.guard_experiment import differences
from fusionapp.application.services.prepare_classification import ClassificationData
from fusionapp.application.services.run_controls import Contender
from fusionapp.application.services.train_classifier import MODELS, TRAINED, Training, keep_heads
from fusionapp.application.services.tune_classifier import TUNED, Tuning
from fusionapp.entrypoints import steps
from fusionapp.entrypoints.session import Session, open_session
from fusionapp.entrypoints.tuned_encoders import FROZEN, with_tuned_encoders

logger = logging.getLogger(__name__)


def train_tuned(session: Session, overwrite: bool) -> Training:
    """Train the frozen heads, tune, and extract by the tuned encoders; the heads that are better on validation.

    What an earlier call finished is not done again, unless `overwrite` is set.

    Raises:
        UsageError: an encoder cannot be tuned, or the run holds heads of other data and `overwrite` is not set.
    """
    runs = session.gateways.runs()
    own = attrs.evolve(session, tuned={})
    frozen = frozen_session(own)
    with frozen.gateways.runs().lock():
        with frozen.services.guard().around(frozen.resolved, overwrite):
            extraction = steps.extract_embeddings(frozen)
        data = steps.prepare_data(frozen, extraction)
        carried = steps.carry(frozen, extraction)
        start = steps.train_heads(frozen, data, carried, overwrite)
        basis = {**carried, "settings": steps.carry(own, extraction)["settings"]}
        if overwrite:
            runs.write_document(TUNED, {"basis": None})
        tuning: Tuning = own.services.tune()(
            recipe=own.experiment.train,
            encoders=session.experiment.tuned_encoders,
            seeds=own.seeds,
            data=data,
            texts=_texts(frozen, data),
            frozen=start,
            basis=basis,
        )
    return _finish(own, tuning, data, overwrite)


def _finish(session: Session, tuning: Tuning, data: ClassificationData, overwrite: bool) -> Training:
    """Extract by the tuned encoders, and say so; or train as without tuning, where that is better."""
    if not tuning.kept:
        logger.warning(
            "tuning did not improve on the frozen heads, which stay: mean validation %s %.4f, frozen %.4f",
            session.experiment.train.metric,
            tuning.tuned,
            tuning.frozen,
        )
        extraction = steps.extract_embeddings(session)
        return steps.train_heads(session, data, steps.carry(session, extraction), overwrite)
    tuned = with_tuned_encoders(session)
    extraction = steps.extract_embeddings(tuned)
    carried = steps.carry(tuned, extraction)
    runs = session.gateways.runs()
    found = runs.read_document(f"{MODELS}/{TRAINED}")
    if found is not None and found["carried"] is not None and not any(differences(found["carried"], carried)):
        return attrs.evolve(tuning.training, reused=True)
    keep_heads(runs, MODELS, tuning.training, data.classes, carried)
    return tuning.training


def frozen_session(session: Session) -> Session:
    """The same experiment without tuning, over the run directory below."""
    run = Path(session.gateways.runs().directory) / FROZEN
    train = attrs.evolve(session.experiment.train, tune_encoders=False)
    experiment = attrs.evolve(session.experiment, name=FROZEN, train=train)
    return open_session(experiment, quiet=session.quiet, run=run)


def frozen_control(session: Session, split: str, test: SplitEmbeddings) -> list[Contender]:
    """What the frozen heads say of the rows that tuned ones are judged by; nothing of a run without tuned ones."""
    if not session.tuned:
        return []
    frozen = frozen_session(attrs.evolve(session, tuned={}))
    with frozen.gateways.runs().lock():
        extraction = steps.extract_embeddings(frozen)
        data = steps.prepare_data(frozen, extraction)
        trained = steps.train_heads(frozen, data, steps.carry(frozen, extraction))
        rows: SplitEmbeddings = frozen.services.gather()(extraction.inventory, split)
        if not np.array_equal(rows.rows, test.rows):
            logger.warning(
                "frozen: left out, as frozen and tuned encoders quarantined different rows of %s", split
            )
            return []
        scores = frozen.services.score()(MODELS, frozen.seeds, rows)
    return [Contender.of_heads(FROZEN, trained, scores.seeds)]


def _texts(session: Session, data: ClassificationData) -> tuple[Sequence[str], Sequence[str]]:
    """The texts of the train and of the validation rows."""
    spool = session.gateways.spool()
    every = {split: list(spool.read(split).stream()) for split in {"train", data.validation_split}}
    return (
        [every["train"][row] for row in data.train_rows],
        [every[data.validation_split][row] for row in data.validation_rows],
    )


def tuning_summary(session: Session) -> Mapping[str, Any] | None:
    """What tuning came to: whether it was kept, both validation scores, steps, what was trained."""
    if not session.experiment.train.tune_encoders:
        return None
    found = session.gateways.runs().read_document(TUNED)
    if found is None or found["basis"] is None:
        return None
    return {
        **{key: found[key] for key in ("kept", "validation", "steps", "best_step")},
        "encoders": found["preflights"],
    }


def tuning_sentences(summary: Mapping[str, Any]) -> list[str]:
    """The same for people."""
    scores = summary["validation"]
    sentences = [
        f"{name}: {one['method']} trained {one['trainable']:,} of {one['parameters']:,} numbers"
        for name, one in summary["encoders"].items()
    ]
    stays = "is kept" if summary["kept"] else "is left aside, and the frozen heads stay"
    return [
        *sentences,
        f"tuning: mean validation {scores['metric']} {scores['tuned']:.4f}, frozen {scores['frozen']:.4f}; "
        f"step {summary['best_step']} of {summary['steps']} {stays}",
    ]

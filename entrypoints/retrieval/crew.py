"""Tuning by several launched processes: the first one reads, mines and writes, the others tune with it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.adapters.torch_shared.launcher import launched
from fusionapp.adapters.tracking.fan_out import FanOutTracker
from fusionapp.application.ports.encoder_tuner import EncoderTuner, PairSet, Preflight, TunedEncoder
from fusionapp.application.ports.progress import Progress
from fusionapp.application.ports.tracker import Tracker
from fusionapp.domain.retrieval.recipe import TuningRecipe
from fusionapp.entrypoints.retrieval.session import RetrievalSession

if TYPE_CHECKING:
    from fusionapp.adapters.huggingface.tuning.distributed import Crew


@attrs.frozen(eq=False)
class Order:
    """What the first process tunes next.

    Attributes:
        model: directory of an earlier round's encoder; None for the experiment's own.
        seed: of the round.
        negatives: (pairs, most) of the training pairs, mined ones included.
        directory: where the encoder goes.
    """

    model: str | None
    seed: int
    negatives: NDArray[np.int64]
    directory: str


@attrs.frozen
class LeadingTuner(EncoderTuner):
    """Gives the order to the other processes before it tunes.

    Attributes:
        tuner: tunes in every process.
        model: see `Order`.
    """

    tuner: EncoderTuner
    model: str | None

    def preflight(self, recipe: TuningRecipe, pairs: int) -> Preflight:
        """In this process alone."""
        return self.tuner.preflight(recipe, pairs)

    def tune(
        self,
        recipe: TuningRecipe,
        seed: int,
        train: PairSet,
        validation: PairSet,
        directory: str,
        tracker: Tracker,
        progress: Progress,
    ) -> TunedEncoder:
        """See `EncoderTuner.tune`."""
        _crew(recipe).hear(Order(self.model, seed, train.negatives, directory))
        return self.tuner.tune(recipe, seed, train, validation, directory, tracker, progress)


def open_tuner(session: RetrievalSession, model: str | None) -> EncoderTuner:
    """The tuner of the experiment's encoder, or of one that an earlier round saved."""
    tuner: EncoderTuner = session.gateways.tuner(
        session.resolved["encoders"][session.experiment.tunable[0]], model
    )
    return tuner if launched() < 2 else LeadingTuner(tuner, model)


@contextmanager
def leading(session: RetrievalSession) -> Iterator[None]:
    """Let the other processes go when the block ends well; when it does not, the launcher stops them."""
    yield
    if launched() > 1:
        _crew(session.experiment.train).hear(None)


def follow(session: RetrievalSession) -> None:
    """Tune what the first process says, until it has no more.

    The run is read where that process wrote it: on one machine, or on a disk that all of them share.
    """
    logging.getLogger("fusionapp").setLevel(logging.WARNING)  # the first process says the rest
    experiment, load = session.experiment, session.services.load()
    crew = _crew(experiment.train)
    while (order := crew.hear(None)) is not None:
        tuner: EncoderTuner = session.gateways.tuner(
            session.resolved["encoders"][experiment.tunable[0]], order.model
        )
        tuner.tune(
            experiment.train,
            order.seed,
            attrs.evolve(load("train"), negatives=order.negatives),
            load("validation"),
            order.directory,
            FanOutTracker(()),
            session.gateways.progress(),
        )


def _crew(recipe: TuningRecipe) -> Crew:
    from fusionapp.adapters.huggingface.tuning.distributed import assemble

    return assemble(recipe.device)

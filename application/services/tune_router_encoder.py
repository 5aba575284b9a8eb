"""Tune a run's encoder for routing, and keep it where routers over it are better."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import closing

import attrs
import numpy as np

from fusionapp.application.ports.progress import Progress
from fusionapp.application.ports.router import AnsweredPrompts
from fusionapp.application.ports.router_tuner import RouterEncoderTuner
from fusionapp.application.ports.run_store import RunStore
from fusionapp.application.ports.tracker import Tracker
from fusionapp.application.services.guard_experiment import differences
from fusionapp.application.services.train_router import RouterTraining
from fusionapp.domain.embeddings import Json
from fusionapp.domain.routing.recipe import RouterRecipe

logger = logging.getLogger(__name__)

TUNED = "tuned.json"
ENCODERS = "encoders"
"""The directory of a run's tuned encoders."""


@attrs.frozen
class RouterTuning:
    """What tuning came to.

    Attributes:
        encoder: its name.
        table: what of its table changes, `model` being a place in the run directory; None where no step of tuning
            improved on the untuned encoder.
        kept: whether routers over the tuned encoder are better on validation than over the untuned one; None as
            long as there are none.
        document: all that was kept of it.
    """

    encoder: str
    table: Mapping[str, Json] | None
    kept: bool | None
    document: Mapping[str, Json]


@attrs.frozen
class TuneRouterEncoder:
    """Tunes a run's encoder once, for the routers of all seeds.

    Embeddings of the train prompts come from an encoder that was tuned on them afterwards, so what a router finds
    out there is optimistic: the weights of a stack's parts out of fold too. Validation prompts are unseen by
    either, and decide (`keep_better`).

    Attributes:
        tuner: tunes it.
        runs: the run directory.
        track: opens the tracker of a group.
        progress: told of every step.
    """

    tuner: RouterEncoderTuner
    runs: RunStore
    track: Callable[[str], Tracker]
    progress: Progress

    def __call__(
        self,
        recipe: RouterRecipe,
        encoder: str,
        seed: int,
        train: AnsweredPrompts,
        validation: AnsweredPrompts,
        basis: Mapping[str, Json],
    ) -> RouterTuning:
        """Tune, or return what an earlier tuning on the same basis left.

        Args:
            recipe: of the network and of tuning.
            encoder: which one.
            seed: of everything that is drawn.
            train: with the untuned encoder's embeddings.
            validation: likewise.
            basis: what routers over the untuned encoder carry.

        Raises:
            UsageError: the encoder cannot be tuned by this recipe, or the recipe does not fit the data.
        """
        found = read_tuning(self.runs, basis)
        if found is not None and not self.runs.verify(ENCODERS):
            return found
        self.runs.write_document(TUNED, {"basis": None})
        with self.runs.writing(ENCODERS), closing(self.track(ENCODERS)) as tracker:
            tuned = self.tuner.tune(
                recipe=recipe,
                encoder=encoder,
                seed=seed,
                train=train,
                validation=validation,
                directory=self.runs.path(f"{ENCODERS}/{encoder}"),
                tracker=tracker,
                progress=self.progress,
            )
        for advice in tuned.preflight.advice:
            logger.info("%s: %s", encoder, advice)
        table = None if tuned.table is None else {**tuned.table, "model": f"{ENCODERS}/{encoder}/model"}
        document: dict[str, Json] = {
            "basis": dict(basis),
            "encoder": encoder,
            "table": table,
            "kept": False if table is None else None,
            "steps": tuned.steps,
            "best_step": tuned.best_step,
            "network": {"untuned": dict(tuned.untuned), "tuned": dict(tuned.validation)},
            "preflight": attrs.asdict(tuned.preflight),
            "seconds": tuned.seconds,
        }
        self.runs.write_document(TUNED, document)
        tuning = read_tuning(self.runs, basis)
        assert tuning is not None, "written just now"
        return tuning


def keep_better(
    runs: RunStore, tuning: RouterTuning, untuned: RouterTraining, tuned: RouterTraining
) -> RouterTuning:
    """Keep the encoder whose routers have the better mean validation quality; of equals the untuned one."""
    before, after = (
        float(np.mean([router.validation["quality"] for router in one.routers])) for one in (untuned, tuned)
    )
    document = {
        **tuning.document,
        "kept": after > before,
        "validation": {"metric": "quality", "untuned": before, "tuned": after},
    }
    runs.write_document(TUNED, document)
    return attrs.evolve(tuning, kept=after > before, document=document)


def read_tuning(runs: RunStore, basis: Mapping[str, Json]) -> RouterTuning | None:
    """What an earlier tuning left in a run, where it was on this basis."""
    found = runs.read_document(TUNED)
    if found is None or found["basis"] is None or any(differences(found["basis"], dict(basis))):
        return None
    return RouterTuning(found["encoder"], found["table"], found["kept"], found)

"""Tuning an encoder end to end for routing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import attrs

from fusionapp.application.ports.encoder_tuner import Preflight
from fusionapp.application.ports.progress import Progress
from fusionapp.application.ports.router import AnsweredPrompts
from fusionapp.application.ports.tracker import Tracker
from fusionapp.domain.embeddings import Json
from fusionapp.domain.routing.recipe import RouterRecipe


@attrs.frozen
class TunedRouterEncoder:
    """What tuning left on disk.

    Attributes:
        table: keys of the encoder's table by which the saved one is read; None where no step improved on the
            untuned encoder, and nothing was saved.
        preflight: what was trained.
        steps: run before it stopped.
        best_step: whose weights are kept; 0 is the untuned encoder.
        validation: ``quality``, ``pairwise_accuracy`` and ``loss`` of the network over the kept encoder.
        untuned: the same over the untuned one, before the first step.
        seconds: spent.
    """

    table: Mapping[str, Json] | None
    preflight: Preflight
    steps: int
    best_step: int
    validation: Mapping[str, float]
    untuned: Mapping[str, float]
    seconds: float


class RouterEncoderTuner(Protocol):
    """Tunes an experiment's encoder under a network that scores every model."""

    def tune(
        self,
        recipe: RouterRecipe,
        encoder: str,
        seed: int,
        train: AnsweredPrompts,
        validation: AnsweredPrompts,
        directory: str,
        tracker: Tracker,
        progress: Progress,
    ) -> TunedRouterEncoder:
        """Tune on `train`, stop and choose on `validation`, and save the encoder as ``directory/model``.

        Args:
            recipe: of the network and of tuning.
            encoder: its name; `train` and `validation` hold its untuned embeddings, over which the network is
                trained first.
            seed: of everything that is drawn.
            train: what to learn from.
            validation: what to stop and choose by: the quality of the chosen model, then the loss.
            directory: where to save.
            tracker: told of every scoring.
            progress: told of every step.

        Raises:
            UsageError: the encoder cannot be tuned by this recipe, the recipe does not fit the data, or the loss
                is not finite.
            ResourceError: memory or disk ran out.
        """

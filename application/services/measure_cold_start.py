"""What a model costs in quality that enters by probes, measured on the models that a run was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.router import AnsweredPrompts, Prompts, Router
from fusionapp.application.services.gather_embeddings import GatherEmbeddings
from fusionapp.application.services.load_answers import LoadAnswers
from fusionapp.domain.embeddings import Json
from fusionapp.domain.routing.mapping import quality_of_score
from fusionapp.domain.routing.newcomers import ColdStartCost, cold_start_costs, mean_cost

DRAWS = 10
"""Draws of probes over which the cost of a cold start is averaged: ten probes are a matter of luck."""


@attrs.frozen
class ColdStart:
    """What entering by probes costs in quality, measured on models that were trained.

    Each is left out in turn and let in again by as many probes, drawn from the validation prompts: routers were
    stopped and chosen by these, but not fitted on them. What was no probe is what is measured on.

    Attributes:
        prompts: validation prompts.
        mean: over models and draws; its `probes` may be less than the new model's, where validation is small.
        models: by model, over draws.
    """

    prompts: int
    mean: ColdStartCost
    models: Sequence[ColdStartCost]


@attrs.frozen
class MeasureColdStart:
    """Measures it on a run's validation split.

    Attributes:
        gather: reads the split's embeddings.
        load: reads its answers.
    """

    gather: GatherEmbeddings
    load: LoadAnswers

    def __call__(self, router: Router, inventory: Mapping[str, Json], probes: int) -> ColdStart | None:
        """Measure it, or None where validation holds too few answers.

        Args:
            router: as trained.
            inventory: the run's ``embeddings.json``.
            probes: by which models enter; by half of what validation holds where that is less.

        Raises:
            UsageError: nothing is known of any validation prompt.
            CorruptArtifactError: something that was stored is gone or changed.
        """
        validation: AnsweredPrompts = self.load(self.gather(inventory, "validation"), router.models).answered
        quality = validation.scores.quality
        # At least half of a model's answers are measured on.
        most = min(probes, int(np.isfinite(quality).sum(axis=0).max()) // 2)
        if most < 1:
            return None
        expected = expected_quality(router, validation.prompts)
        found: dict[str, list[ColdStartCost]] = {}
        for draw in range(DRAWS):
            for cost in cold_start_costs(router.models, expected, quality, most, draw):
                found.setdefault(cost.model, []).append(cost)
        models = [mean_cost(model, costs) for model, costs in found.items()]
        return ColdStart(len(quality), mean_cost("mean", models), models)


def expected_quality(router: Router, prompts: Prompts) -> NDArray[np.float32]:
    """(prompts, models) in [0, 1], as a router expects them."""
    return quality_of_score(router.score(prompts))

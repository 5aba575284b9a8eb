"""Models that entered trained routers by probes: kept beside them, and scored after the models of training."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.router import Prompts, Router
from fusionapp.application.ports.run_store import RunStore
from fusionapp.application.services.train_classifier import TRAINED
from fusionapp.application.services.train_router import GROUP
from fusionapp.domain.embeddings import Json
from fusionapp.domain.errors import CorruptArtifactError
from fusionapp.domain.routing.expected_costs import ExpectedCosts
from fusionapp.domain.routing.mapping import quality_of_score, score_of_quality
from fusionapp.domain.routing.newcomers import Newcomer
from fusionapp.domain.routing.prices import Prices

logger = logging.getLogger(__name__)

NEWCOMERS = "newcomers.json"
ENSEMBLE = "ensemble"
"""The name among a newcomer's mixtures of the one over the mean of all seeds; others are called by their seeds."""
FORMAT = 1
Floats = NDArray[np.float32]


@attrs.frozen(eq=False)
class Entered:
    """A model that entered a run.

    Attributes:
        mixtures: by router: `ENSEMBLE`, "seed-0", ...; each fitted on what that router expects of known models.
        costs: of its answers.
    """

    mixtures: Mapping[str, Newcomer]
    costs: ExpectedCosts


@attrs.frozen(eq=False)
class ExtendedRouter(Router):
    """Known models as the router scores them, then newcomers, each a mixture of the known ones.

    Attributes:
        router: as trained.
        newcomers: in the order of their columns.
    """

    router: Router
    newcomers: Sequence[Newcomer]

    @property
    def models(self) -> Sequence[str]:
        """See `Router.models`."""
        return (*self.router.models, *(newcomer.name for newcomer in self.newcomers))

    def score(self, prompts: Prompts) -> Floats:
        """See `Router.score`."""
        known = self.router.score(prompts)
        quality = quality_of_score(known)
        added = [score_of_quality(newcomer(quality)) for newcomer in self.newcomers]
        return np.column_stack([known, *added]).astype(np.float32)

    def success(self, scores: Floats) -> Floats:
        """See `Router.success`; newcomers' scores are on the known models' scale."""
        return self.router.success(scores)


@attrs.frozen
class ExtendRouter:
    """Lets a run's routers know the models that entered it.

    All of them stand in one document, with a fingerprint of the training whose routers they entered: a change is
    whole or not at all, and routers that were trained anew take nothing from it.

    Attributes:
        runs: the run.
    """

    runs: RunStore

    def __call__(self, router: Router, member: str, costs: ExpectedCosts) -> tuple[Router, ExpectedCosts]:
        """The router with the newcomers, and their costs beside those of the models known.

        Args:
            router: as trained.
            member: which it is: `ENSEMBLE`, "seed-0", ...
            costs: of the models that the data holds.

        Raises:
            CorruptArtifactError: the newcomers' document is broken, or over other models.
        """
        entered = self.read(router.models)
        if not entered:
            return router, costs
        newcomers = []
        for name, one in entered.items():
            if member not in one.mixtures:
                raise CorruptArtifactError(
                    f"{self._place}: {name!r} did not enter {member}; run `fusionapp add-model --overwrite`"
                )
            newcomers.append(one.mixtures[member])
            costs = costs.updated(one.costs)
        return ExtendedRouter(router, newcomers), costs

    def read(self, models: Sequence[str]) -> Mapping[str, Entered]:
        """Newcomers by name, in the order in which they entered.

        Args:
            models: that the routers were trained on.

        Raises:
            CorruptArtifactError: the document is broken, or over other models.
        """
        document = self.runs.read_document(NEWCOMERS)
        if document is None:
            return {}
        try:
            if document["format"] != FORMAT:
                raise ValueError(f"format {document['format']!r}")
            if document["basis"] != self._basis():
                logger.warning(
                    "%s entered routers that were trained anew since, and are not known to these: "
                    "add them again by `fusionapp add-model`",
                    ", ".join(document["newcomers"]),
                )
                return {}
            if document["models"] != list(models) or set(document["newcomers"]) & set(models):
                raise ValueError("it is of a router over other models")
            return {name: _entered(name, one, len(models)) for name, one in document["newcomers"].items()}
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise CorruptArtifactError(
                f"{self._place}: does not describe newcomers ({error!r}); remove it, and add the models again"
            ) from error

    def names(self) -> Sequence[str]:
        """Names of the models that entered the run's routers as they are."""
        document = self.runs.read_document(NEWCOMERS)
        return [] if document is None or document["basis"] != self._basis() else list(document["newcomers"])

    def write(self, models: Sequence[str], entered: Mapping[str, Entered]) -> None:
        """Keep these newcomers, whole or not at all, in place of those that were kept.

        Raises:
            ResourceError: the disk is full.
        """
        newcomers: dict[str, Json] = {
            name: {
                "costs": one.costs.to_json()[name],
                "mixtures": {member: each.to_json() for member, each in one.mixtures.items()},
            }
            for name, one in entered.items()
        }
        self.runs.write_document(
            NEWCOMERS,
            {"format": FORMAT, "basis": self._basis(), "models": list(models), "newcomers": newcomers},
        )

    def _basis(self) -> str:
        return self.runs.hash_file(f"{GROUP}/{TRAINED}")

    @property
    def _place(self) -> str:
        return f"{self.runs.directory}/{NEWCOMERS}"


def _entered(name: str, entry: Mapping[str, Any], models: int) -> Entered:
    mixtures = {member: Newcomer.of_json(name, each, models) for member, each in entry["mixtures"].items()}
    if entry["costs"]["input_price_usd_per_mtok"] is not None:
        Prices.of({name: entry["costs"]})  # says what is wrong with them
    return Entered(mixtures, ExpectedCosts.of_json({name: entry["costs"]}))

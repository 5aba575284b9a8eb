"""Train routers over a run's prompts and keep what routing needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from time import perf_counter
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.progress import Progress
from fusionapp.application.ports.router import AnsweredPrompts, RouterTrainer, TrainedRouter
from fusionapp.application.ports.run_store import RunStore
from fusionapp.application.ports.tracker import Tracker
from fusionapp.application.services.guard_experiment import differences
from fusionapp.application.services.train_classifier import TRAINED
from fusionapp.domain.embeddings import Embeddings, Json
from fusionapp.domain.errors import CorruptArtifactError
from fusionapp.domain.routing.answers import Battles
from fusionapp.domain.routing.comparisons import balance
from fusionapp.domain.routing.familiarity import familiar_below
from fusionapp.domain.routing.recipe import RouterRecipe

GROUP = "models"
FAMILIAR, FAMILIAR_ROWS = "familiar.json", "familiar.parquet"
NEIGHBOURS = 10
MOST_FAMILIAR = 20_000
"""Prompts of train that others are compared with; of more, so many at even distances."""


def flat(embeddings: Embeddings) -> NDArray[np.float32]:
    """Dense (prompts, layers, dim) as (prompts, layers * dim)."""
    values = np.asarray(embeddings, dtype=np.float32)
    return values.reshape(len(values), -1)


def read_trained(runs: RunStore, group: str = GROUP) -> Mapping[str, Any] | None:
    """What is kept of a training: what it carries (None where it is void), its seconds and its routers.

    Args:
        runs: the run.
        group: directory in which its routers stand.

    Returns:
        The group's ``trained.json``, or None where there is none.

    Raises:
        CorruptArtifactError: it describes no training.
    """
    name = f"{group}/{TRAINED}"
    found = runs.read_document(name)
    if found is not None and not _describes_training(found):
        raise CorruptArtifactError(
            f"{runs.directory}/{name}: does not describe a training of routers; restore it, or remove it and "
            "run `fusionapp train` again"
        )
    return found


def _describes_training(document: Json) -> bool:
    return (
        isinstance(document, dict)
        and {"carried", "seconds", "routers"} <= document.keys()
        and isinstance(document["carried"], dict | None)
        and isinstance(document["routers"], list)
        and all(isinstance(router, dict) and "seed" in router for router in document["routers"])
    )


@attrs.frozen
class RouterTraining:
    """What training left behind.

    Attributes:
        routers: one per seed.
        seconds: spent now; the first run's where everything was there.
        reused: True where every router was there already.
        tuning: what tuning an encoder came to, where one was tuned.
        balance: how often models are compared in train, and as how often they are seen as battles are weighed
            (`weigh_report`); None where they are not.
    """

    routers: Sequence[TrainedRouter]
    seconds: float
    reused: bool = False
    tuning: Mapping[str, Json] | None = None
    balance: Mapping[str, Json] | None = None


@attrs.frozen
class TrainRouter:
    """Trains a run's routers, one a seed.

    Attributes:
        trainer: trains them.
        runs: the run directory.
        track: opens the tracker of a group.
        progress: told of every epoch.
    """

    trainer: RouterTrainer
    runs: RunStore
    track: Callable[[str], Tracker]
    progress: Progress

    def __call__(
        self,
        recipe: RouterRecipe,
        seeds: Sequence[int],
        train: AnsweredPrompts,
        validation: AnsweredPrompts,
        carried: Mapping[str, Json],
        familiar: float = 0.99,
        group: str = GROUP,
        overwrite: bool = False,
    ) -> RouterTraining:
        """Train one router per seed, or return those that stand there already, trained on the same data.

        Args:
            recipe: how.
            seeds: one router each.
            train: what they are trained on.
            validation: what training stops and chooses by.
            carried: kept in each ``model.json`` for routing (encoders), and to recognise the data.
            familiar: share of train's own prompts that count as familiar.
            group: directory of the run in which they stand; what is familiar is kept of ``models`` alone.
            overwrite: train routers anew that stand there and were changed since.

        Raises:
            UsageError: the recipe does not fit the data.
            CorruptArtifactError: a router that stands there was changed, and `overwrite` is not set, or what is
                kept of its training describes none.
        """
        names = [f"{group}/seed-{seed}" for seed in seeds]
        found = self._reusable(group, names, carried, overwrite)
        if found is not None:
            if group == GROUP and (self.runs.read_document(FAMILIAR) or {}).get("share") != familiar:
                self._keep_familiar(train, familiar)
            return found
        start = perf_counter()
        with self.runs.writing(group), closing(self.track(group)) as tracker:
            routers = self.trainer.train(
                recipe=recipe,
                seeds=seeds,
                train=train,
                validation=validation,
                directories=[self.runs.path(name) for name in names],
                tracker=tracker,
                progress=self.progress,
            )
        seconds = perf_counter() - start
        for name, router in zip(names, routers, strict=True):
            self.runs.write_document(
                f"{name}/model.json",
                {
                    "format": 1,
                    "task": "route",
                    "models": list(train.scores.models),
                    "encoders": dict(carried["encoders"]),
                    "seed": router.seed,
                    "validation": dict(router.validation),
                },
            )
        if group == GROUP:
            self._keep_familiar(train, familiar)
        weighed = weigh_report(train.battles) if recipe.balance_model_samples else None
        document = {
            "carried": dict(carried),
            "seconds": seconds,
            "routers": [attrs.asdict(router) for router in routers],
            "balance": weighed,
        }
        self.runs.write_document(f"{group}/{TRAINED}", document)
        return RouterTraining(list(routers), seconds, balance=weighed)

    def _keep_familiar(self, train: AnsweredPrompts, share: float) -> None:
        """Embeddings of train, and how far from its nearest a prompt may be to be like them."""
        name = next(
            (one for one, found in train.prompts.embeddings.items() if isinstance(found, np.ndarray)), None
        )
        if name is None or len(train.prompts.texts) <= NEIGHBOURS:
            self.runs.write_document(FAMILIAR, {"encoder": None, "share": share})
            return
        rows = np.linspace(0, len(train.prompts.texts) - 1, min(len(train.prompts.texts), MOST_FAMILIAR))
        known = flat(train.prompts.embeddings[name])[np.unique(rows.astype(np.int64))]
        self.runs.write_table(FAMILIAR_ROWS, {"embedding": known})
        limit = familiar_below(known, NEIGHBOURS, share)
        self.runs.write_document(FAMILIAR, {"encoder": name, "limit": limit, "share": share})

    def _reusable(
        self, group: str, names: Sequence[str], carried: Mapping[str, Json], overwrite: bool
    ) -> RouterTraining | None:
        """What an earlier training left; where it is another one, nothing of it is trusted from now on."""
        found = read_trained(self.runs, group)
        if found is None:
            return None
        other = len(found["routers"]) != len(names) or any(differences(found["carried"], dict(carried)))
        changed = () if other else self.runs.verify(group)
        if changed and not overwrite:
            raise CorruptArtifactError(
                f"{self.runs.directory}/{changed[0].file}: {changed[0].problem}; train again with --overwrite"
            )
        if other or changed:
            self.runs.write_document(f"{GROUP}/{TRAINED}", {"carried": None, "seconds": 0.0, "routers": []})
            return None
        routers = [
            TrainedRouter(**{**router, "directory": self.runs.path(name)})
            for name, router in zip(names, found["routers"], strict=True)
        ]
        return RouterTraining(routers, found["seconds"], reused=True, balance=found.get("balance"))


def weigh_report(battles: Battles) -> dict[str, Json] | None:
    """What weighing battles by the rarer of their models does, as JSON; None without battles.

    ``battles`` and ``effective`` count them, and as how many equal ones they say as much; ``models`` has each
    model's ``comparisons``, its ``share`` of all places in battles, and its ``weighed_share``.
    """
    if not len(battles.prompts):
        return None
    found = balance(battles)
    columns = {
        "comparisons": found.comparisons.tolist(),
        "share": found.share.tolist(),
        "weighed_share": found.weighed_share.tolist(),
    }
    return {
        "battles": len(battles.prompts),
        "effective": found.effective,
        "models": {
            model: {name: values[place] for name, values in columns.items()}
            for place, model in enumerate(found.models)
        },
    }

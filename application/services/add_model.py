"""Let a new model into a trained routing run by a few probe answers, without training."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import numpy as np

from fusionapp.application.ports.answer_source import AnswerSource
from fusionapp.application.ports.encoder import Encoder
from fusionapp.application.ports.router import Routers
from fusionapp.application.ports.run_store import RunStore
from fusionapp.application.services.embed_prompts import EmbedPrompts
from fusionapp.application.services.extend_router import ENSEMBLE, Entered, ExtendRouter
from fusionapp.application.services.guard_experiment import differences
from fusionapp.application.services.load_answers import LoadAnswers
from fusionapp.application.services.measure_cold_start import (
    ColdStart,
    MeasureColdStart,
    expected_quality,
)
from fusionapp.application.services.read_answers import ANSWERS, BATTLES, MODELS
from fusionapp.application.services.read_probes import Probes, read_probes
from fusionapp.application.services.train_router import GROUP, read_trained
from fusionapp.domain.embeddings import Json
from fusionapp.domain.errors import UsageError
from fusionapp.domain.routing.expected_costs import ExpectedCosts
from fusionapp.domain.routing.newcomers import fit_newcomer
from fusionapp.domain.routing.prices import Price, Prices

logger = logging.getLogger(__name__)


@attrs.frozen(eq=False)
class ModelAdded:
    """A model that entered.

    Attributes:
        model: its name.
        replaced: whether one of that name had entered before.
        probes: how many answers it entered by.
        stored: by split of the run, how many of their embeddings were stored there already.
        penalty: chosen for the ensemble of seeds.
        weights: of the known models in its mixture over the ensemble.
        mean_quality: of its probes.
        costs: of its answers.
        cold_start: None where validation is too small to measure it.
    """

    model: str
    replaced: bool
    probes: int
    stored: Mapping[str, int]
    penalty: float
    weights: Mapping[str, float]
    mean_quality: float
    costs: ExpectedCosts
    cold_start: ColdStart | None


@attrs.frozen
class AddModel:
    """Fits a new model as a mixture of the known ones, over every seed's router and over their ensemble.

    Attributes:
        runs: the run; none of the files that it was trained into changes.
        routers: opens its routers.
        extend: keeps what entered.
        embed: embeds probes.
        measure: measures what that costs in quality.
        load: knows the other models' costs.
    """

    runs: RunStore
    routers: Routers
    extend: ExtendRouter
    embed: EmbedPrompts
    measure: MeasureColdStart
    load: LoadAnswers

    def __call__(
        self,
        name: str,
        source: AnswerSource,
        inventory: Mapping[str, Json],
        encoders: Callable[[], Mapping[str, Encoder]],
        called: str | None = None,
        price: Price | None = None,
        answer_tokens: float | None = None,
        overwrite: bool = False,
    ) -> ModelAdded:
        """Add it.

        Args:
            name: of the new model.
            source: its probes.
            inventory: the run's ``embeddings.json``.
            encoders: opens those that the routers were trained with.
            called: the model's name in the source, where it is another.
            price: of its tokens; None where it is not known.
            answer_tokens: how long its answers are, where the source does not say.
            overwrite: replace a model of that name that entered before.

        Raises:
            UsageError: no trained run, or one of other data than it holds now; a name that is known, probes that
                are none, or no price where other models have one.
            CorruptArtifactError: something that was stored is gone or changed.
        """
        trained = self._trained()
        self._refuse_changed(trained["carried"], inventory)
        members = {
            f"seed-{int(one['seed'])}": f"{GROUP}/seed-{int(one['seed'])}" for one in trained["routers"]
        }
        places = [self.runs.path(one) for one in members.values()]
        ensemble = self.routers.open(places)
        entered = self.extend.read(ensemble.models)
        _refuse_known(name, ensemble.models, entered, overwrite)
        probes = read_probes(source, called or name)
        costs = self._costs(name, ensemble.models, probes, price, answer_tokens)
        embedded = self.embed(probes.texts, inventory, encoders)
        if embedded.stored.get("train"):
            logger.warning(
                "%d of %d probes stand in train, to whose answers the routers were fitted: they foretell other "
                "models there better than elsewhere; prompts that are not in train tell more",
                embedded.stored["train"],
                len(probes.texts),
            )
        opened = {ENSEMBLE: ensemble}
        opened |= {member: self.routers.open([place]) for member, place in zip(members, places, strict=True)}
        mixtures = {
            member: fit_newcomer(name, expected_quality(router, embedded.prompts), probes.quality)
            for member, router in opened.items()
        }
        cold_start = self.measure(ensemble, inventory, len(probes.texts))
        self.extend.write(ensemble.models, {**entered, name: Entered(mixtures, costs)})
        return ModelAdded(
            model=name,
            replaced=name in entered,
            probes=len(probes.texts),
            stored=embedded.stored,
            penalty=mixtures[ENSEMBLE].penalty,
            weights=dict(zip(ensemble.models, mixtures[ENSEMBLE].weights.tolist(), strict=True)),
            mean_quality=float(probes.quality.mean()),
            costs=costs,
            cold_start=cold_start,
        )

    def _trained(self) -> Mapping[str, Any]:
        found = read_trained(self.runs)
        if found is None or not found["routers"]:
            raise UsageError(f"{self.runs.directory} is not trained; run `fusionapp train` first")
        return found

    def _refuse_changed(self, carried: Mapping[str, Any], inventory: Mapping[str, Json]) -> None:
        """Refuse stored embeddings and answers that are not those of the training."""
        held = self.runs.read_document(MODELS) or {"tables": []}
        tables = [name for name in (ANSWERS, BATTLES) if name in held["tables"]]
        texts = inventory["splits"].get("validation", {}).get("texts_sha256")
        now: dict[str, Json] = {
            "validation": [texts, *(self.runs.hash_file(f"{name}/validation.parquet") for name in tables)],
            "encoders": {name: one["identity"] for name, one in inventory["encoders"].items()},
        }
        before: dict[str, Json] = {
            "validation": carried["data"]["validation"],
            "encoders": {name: one["identity"] for name, one in carried["encoders"].items()},
        }
        if any(differences(before, now)):
            raise UsageError(
                f"{self.runs.directory}: its answers or embeddings are not those that its routers know; "
                "run `fusionapp train` again"
            )

    def _costs(
        self,
        name: str,
        models: Sequence[str],
        probes: Probes,
        price: Price | None,
        answer_tokens: float | None,
    ) -> ExpectedCosts:
        """What is known of its costs; of a model of the data that was not trained on, the data says more."""
        known = self.load.costs()
        table = known.to_json().get(name, {})
        tokens = (probes.answer_tokens, table.get("answer_tokens"), answer_tokens)
        spent = (probes.mean_cost, table.get("mean_cost"))
        prices = Prices({name: price}) if price is not None else Prices(_priced(name, known.prices))
        costs = ExpectedCosts((name,), prices, np.array([_first(tokens)]), np.array([_first(spent)]))
        sizes = np.array([100.0])
        column = [list(known.models).index(model) for model in models]
        if np.isfinite(known.expect(sizes)[:, column]).all() and not np.isfinite(costs.expect(sizes)).all():
            missing = (
                "its price in USD per million tokens, 0 where it costs nothing: --price-in and --price-out, or "
                "--prices FILE"
                if price is None
                else "the tokens of its answers in a column beside its scores, or dataset.answer_tokens"
            )
            raise UsageError(
                f"{name!r}: what the other models cost is known, and a budget needs it of all; give {missing}"
            )
        return costs


def _refuse_known(name: str, trained: Sequence[str], entered: Mapping[str, Entered], overwrite: bool) -> None:
    if not name.strip():
        raise UsageError(f"the new model's name is {name!r}; give it one")
    if name in trained:
        raise UsageError(
            f"{name!r}: the routers were trained on it, as on {', '.join(one for one in trained if one != name)}; "
            "name another model, or add its answers to the dataset and train again"
        )
    if name in entered and not overwrite:
        raise UsageError(
            f"{name!r} has entered before; give --overwrite to replace it, or name another model"
        )


def _priced(name: str, prices: Prices) -> Mapping[str, Price]:
    return {name: prices.models[name]} if name in prices.models else {}


def _first(values: Sequence[float | None]) -> float:
    """The first that is known; NaN where none is."""
    return next((value for value in values if value is not None and np.isfinite(value)), float("nan"))

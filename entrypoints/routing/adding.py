"""`fusionapp add-model`: a new model enters a trained run by probes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import attrs

from fusionapp.application.services.add_model import ModelAdded
from fusionapp.application.services.inventories import INVENTORY
from fusionapp.application.services.measure_cold_start import ColdStart
from fusionapp.domain.errors import DatasetError, UsageError
from fusionapp.domain.routing.newcomers import ColdStartCost
from fusionapp.domain.routing.prices import Price, Prices
from fusionapp.entrypoints.inventory import check_inventory
from fusionapp.entrypoints.prediction import read_json
from fusionapp.entrypoints.routing.routing import find_routers, open_encoders, router_experiment
from fusionapp.entrypoints.routing.session import open_routing
from fusionapp.entrypoints.task_session import Directory


def add_model(
    run: Directory,
    name: str,
    probes: str | os.PathLike[str],
    *,
    price: Price | tuple[float, float] | None = None,
    scores: str | None = None,
    text: str | None = None,
    score_range: tuple[float, float] | None = None,
    overwrite: bool = False,
    device: str = "auto",
    quiet: bool = True,
) -> ModelAdded:
    """Let a new model into a trained routing run by its answers to some prompts; nothing is trained.

    From then on `fusionapp.load(run)` scores and routes to it as well.

    Args:
        run: a trained run's directory.
        name: of the new model.
        probes: a file of prompts with its scores, of the layouts that the run's own files may have.
        price: USD per million tokens of prompts and of answers.
        scores: a column of its scores alone, where the file names no model.
        text: the prompts' column, where it is not called as in the run's dataset.
        score_range: what its scores run from and to, where it is not as in the run's dataset.
        overwrite: replace a model of that name that entered before.
        device: where encoders run, for prompts that the run holds no embeddings of.
        quiet: show no progress bars.

    Raises:
        UsageError: no trained run, a name that is known, or no price where the other models have one.
        DatasetError: the file cannot be read, or holds no score of the model.
        CorruptArtifactError: something that was stored is gone or changed.
    """
    place = Path(run)
    directory, routers = find_routers(place)
    if directory != place:
        raise UsageError(
            f"{place}: is one seed's router; name its run, {directory}, all of whose routers take it"
        )
    inventory = check_inventory(place / INVENTORY, dict(read_json(place / INVENTORY)))
    experiment = router_experiment(place)
    # Wherever the command is called, the store stands where it stands beside the run.
    stored = attrs.evolve(
        experiment.storage,
        adapter=inventory["storage"]["adapter"],
        root=str(place / inventory["storage"]["root"]),
    )
    session = open_routing(attrs.evolve(experiment, storage=stored), quiet=quiet, run=place)
    with session.gateways.runs().lock():
        try:
            added: ModelAdded = session.services.add_model()(
                name,
                session.gateways.probes(str(probes), name, scores, text, score_range),
                inventory,
                partial(open_encoders, session, routers[0], device),
                called=scores,
                price=_checked(name, price),
                answer_tokens=experiment.dataset.answer_tokens,
                overwrite=overwrite,
            )
        except DatasetError as error:
            if "dataset." not in str(error):
                raise
            raise DatasetError(f"{error} {_FLAGS}") from error
    return added


def _checked(name: str, price: Price | tuple[float, float] | None) -> Price | None:
    if not isinstance(price, tuple):
        return price
    given = dict(zip(("input_price_usd_per_mtok", "output_price_usd_per_mtok"), price, strict=True))
    return Prices.of({name: given}, "price").models[name]


_FLAGS = (
    "(of probes, --scores names a column of the new model's scores alone, --text the prompts' column, and "
    "--score-range LOW HIGH is dataset.score_range)"
)


def added_json(added: ModelAdded) -> dict[str, Any]:
    """The object of `add-model --json`."""
    return {
        "model": added.model,
        "replaced": added.replaced,
        "probes": added.probes,
        "stored": dict(added.stored),
        "penalty": added.penalty,
        "weights": dict(added.weights),
        "mean_quality": added.mean_quality,
        "costs": added.costs.to_json()[added.model],
        "cold_start": None if added.cold_start is None else _cold_start_json(added.cold_start),
    }


def _cold_start_json(measured: ColdStart) -> dict[str, Any]:
    return {
        "prompts": measured.prompts,
        **_cost_json(measured.mean),
        "models": {cost.model: _cost_json(cost) for cost in measured.models},
    }


def _cost_json(cost: ColdStartCost) -> Mapping[str, Any]:
    return attrs.asdict(cost, filter=attrs.filters.exclude("model"))

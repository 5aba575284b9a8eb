"""`train --search`: settings tuned on validation, kept in ``runs/NAME/search.json``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from fusionapp.application.services.guard_experiment import HEADS, differences, is_trained
from fusionapp.application.services.prepare_classification import ClassificationData
from fusionapp.application.services.search_recipe import Decision, Search, read_search
from fusionapp.domain.embeddings import Json
from fusionapp.domain.errors import UsageError
from fusionapp.domain.search import Values, apply_values, head_space
from fusionapp.entrypoints.experiment.encoder_tables import LexicalSettings
from fusionapp.entrypoints.experiment.structure import structure, unstructure
from fusionapp.entrypoints.session import Session

SEARCHED = ("seed", "fusion", "train")


@attrs.frozen
class SearchBudget:
    """How long a search may take.

    Attributes:
        trials: settings to try, the experiment's own included.
        seconds: training time of all trials after which no more is started.
        kinds: whether the kind of fusion is searched too.
    """

    trials: int
    seconds: float | None = None
    kinds: bool = False


def with_decided_settings(session: Session) -> Session:
    """The session by the settings that its run's search decided on, where it is that search's experiment."""
    search = read_search(session.gateways.runs())
    if search is None or search.decision is None or _differ(search.settings, session):
        return session
    return _with_values(session, search.decision.values)


def search_settings(
    session: Session,
    data: ClassificationData,
    carry: Callable[[Session], Mapping[str, Json]],
    budget: SearchBudget,
    overwrite: bool,
) -> Session:
    """Search, or go on searching, and return the session by the settings decided on.

    Args:
        session: of the run, by its own settings or by those of an earlier search.
        data: trained on and chosen by.
        carry: what makes the heads of a session what they are.
        budget: of the search.
        overwrite: search anew, and replace heads that were trained without a search.

    Raises:
        UsageError: the run was trained without a search, Optuna is not installed, or the own settings cannot be
            trained.
    """
    own = _by_own_settings(session)
    runs = session.gateways.runs()
    trained = is_trained(runs.read_document(HEADS[0]))
    if read_search(runs) is None and trained and not overwrite:
        raise UsageError(
            f"{runs.directory} was trained without a search; give --overwrite, or choose another `name`"
        )
    if overwrite and trained:
        # From here on the run is this search's, which a kill must not leave behind another one's heads.
        runs.write_document(HEADS[0], {"carried": None, "seconds": 0.0, "heads": []})
    if overwrite:
        session.services.guard().record(own.resolved)
    experiment = own.experiment
    space = head_space(
        experiment.fusion,
        experiment.train,
        rows=len(data.train.labels),
        sources=len(data.train.sources),
        sparse=any(isinstance(encoder, LexicalSettings) for encoder in experiment.encoders.values()),
        kinds=budget.kinds,
    )
    search: Search = session.services.search()(
        settings=_searched(own),
        fusion=experiment.fusion,
        recipe=experiment.train,
        space=space,
        seeds=own.seeds,
        data=data,
        carried=carry(own),
        trials=budget.trials,
        seconds=budget.seconds,
        anew=overwrite,
    )
    assert search.decision is not None, "a search that ends has decided"
    return _with_values(own, search.decision.values)


def decision_toml(decision: Decision) -> str:
    """The settings decided on, to be pasted into an experiment file."""
    tables: dict[str, list[str]] = {}
    for key, value in decision.values.items():
        table, _, name = key.partition(".")
        tables.setdefault(table, []).append(f"{name} = {json.dumps(value)}")
    return "\n\n".join("\n".join([f"[{table}]", *lines]) for table, lines in sorted(tables.items()))


def search_json(search: Search) -> dict[str, Any]:
    """What `train --search --json` adds."""
    return {
        "metric": search.metric,
        "trials": [attrs.asdict(one) for one in search.trials],
        "decision": None if search.decision is None else attrs.asdict(search.decision),
    }


def search_sentence(search: Search) -> str:
    """What a search came to, for people."""
    decision = search.decision
    assert decision is not None, "a search that ends has decided"
    sign = -1 if search.metric == "loss" else 1
    if decision.noise == 0.0 and not decision.tuned:
        return f"search: none of {decision.trials} trials beat the experiment's own settings, which stay"
    said = "are taken" if decision.tuned else "stay aside: the gain may be chance"
    return (
        f"search: validation {search.metric} {sign * decision.own:.4f} by the experiment's own settings, "
        f"{sign * decision.best:.4f} by the best of {decision.trials} trials, both trained anew; standard error "
        f"of the difference {decision.noise:.4f}. The best trial's settings {said}."
    )


def _by_own_settings(session: Session) -> Session:
    """The session by the settings that a search started from, where it is by those that the search decided on."""
    search = read_search(session.gateways.runs())
    if search is None or search.decision is None:
        return session
    settings = {
        **search.settings,
        "train": {**search.settings["train"], "device": session.experiment.train.device},
    }
    own = _reopened(session, {**session.resolved, **settings})
    decided = _with_values(own, search.decision.values)
    if any(differences(_searched(decided), _searched(session))):
        return _reopened(session, session.resolved)
    return _reopened(session, own.resolved)


def _with_values(session: Session, values: Values) -> Session:
    fusion, recipe = apply_values(values, session.experiment.fusion, session.experiment.train)
    return _reopened(session, unstructure(attrs.evolve(session.experiment, fusion=fusion, train=recipe)))


def _reopened(session: Session, resolved: Mapping[str, Json]) -> Session:
    """The same container, and so the same lock, over other settings."""
    session.container.config.from_dict({"experiment": dict(resolved)})
    return Session(structure(resolved), resolved, session.container)


def _differ(settings: Mapping[str, Json], session: Session) -> bool:
    return any(differences(dict(settings), _searched(session)))


def _searched(session: Session) -> dict[str, Json]:
    return {table: session.resolved[table] for table in SEARCHED}

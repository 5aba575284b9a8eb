"""k-fold and few-shot runs: each fold or draw is a run directory of its own, ``runs/NAME/protocol/ROUND``."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from dependency_injector import providers

from fusionapp.application.services.deal_rounds import DealRounds, Pool, Round, stack_splits
from fusionapp.application.services.evaluate_classifier import Evaluation
from fusionapp.application.services.evaluate_rounds import EvaluateRounds, Kind
from fusionapp.application.services.extract_dataset import Extraction
from fusionapp.application.services.guard_experiment import differences, is_trained
from fusionapp.application.services.prepare_classification import exclude_rows
from fusionapp.application.services.train_classifier import Training
from fusionapp.application.services.train_rounds import ROUNDS, TrainRounds
from fusionapp.domain.embeddings import fingerprint
from fusionapp.domain.errors import UsageError
from fusionapp.domain.splitting import text_groups
from fusionapp.entrypoints.experiment.schema import Experiment
from fusionapp.entrypoints.leaderboards import leaderboard_csv
from fusionapp.entrypoints.reports import (
    leaderboard_markdown,
    read_evaluation,
    write_evaluation,
)
from fusionapp.entrypoints.session import Session, open_session
from fusionapp.entrypoints.weights import hash_weights

logger = logging.getLogger(__name__)


def follows_protocol(experiment: Experiment) -> bool:
    """Whether an experiment asks for folds or for few-shot draws."""
    return experiment.dataset.folds is not None or experiment.dataset.shots is not None


def train_protocol(
    session: Session, extraction: Extraction, carried: Mapping[str, Any], overwrite: bool
) -> Training:
    """Train every round that is not trained yet; all their heads, in the order of rounds and seeds.

    Raises:
        UsageError: the run holds rounds of other data or settings, and `overwrite` is not set.
    """
    store, experiment = session.gateways.runs(), session.experiment
    found = store.read_document(ROUNDS)
    if found is not None and not _is_of(found, carried, experiment):
        if not overwrite and is_trained(found):
            raise UsageError(
                f"{store.directory}: the data or an encoder changed since training; "
                "choose another `name`, or give --overwrite to train again"
            )
        # A kill must not leave new rounds behind the name of the old ones.
        store.write_document(ROUNDS, {"carried": None, "protocol": None, "rounds": []})
    train = TrainRounds(_services(session, "train"), session.gateways.runs(), session.gateways.progress())
    trainings = train(
        _deal(session, extraction),
        _count(experiment),
        experiment.fusion,
        experiment.train,
        session.seeds,
        carried,
        _protocol(experiment),
        overwrite,
    )
    return Training(
        heads=[head for training in trainings for head in training.heads],
        seconds=sum(training.seconds for training in trainings),
        reused=all(training.reused for training in trainings),
    )


def evaluate_protocol(
    session: Session, extraction: Extraction, carried: Mapping[str, Any], split: str, overwrite: bool
) -> Evaluation:
    """Score every round beside its controls, and judge them together; once, as `api.evaluate` does.

    Raises:
        UsageError: another split than "test", or the run is not trained for this experiment and these data.
    """
    store, experiment = session.gateways.runs(), session.experiment
    if split != "test":
        raise UsageError(f"split {split!r}: a k-fold or few-shot run scores its own test rows alone")
    found = store.read_document(ROUNDS)
    if found is None or not _is_of(found, carried, experiment):
        raise UsageError(
            f"{store.directory} is not trained on these data by these settings; run `fusionapp train`"
        )
    basis = _basis(session, extraction, found)
    earlier = None if overwrite else read_evaluation(store, split, basis)
    if earlier is not None:
        return earlier
    pool = _pool(session, extraction)
    evaluate = EvaluateRounds(
        _services(session, "train"), _services(session, "evaluate"), store, session.gateways.progress()
    )
    evaluation = evaluate(
        kind=_kind(experiment),
        protocol=_describe(experiment, pool),
        rounds=_deal(session, extraction, pool),
        count=_count(experiment),
        name=experiment.fusion.kind + (" (residual)" if experiment.fusion.residual else ""),
        fusion=experiment.fusion,
        recipe=experiment.train,
        seeds=session.seeds,
        label_column=experiment.dataset.label,
        draws=experiment.evaluate.draws,
        baselines=experiment.evaluate.baselines,
        costs=experiment.evaluate.costs,
        carried=carried,
    )
    write_evaluation(store, evaluation, basis)
    store.write_text(f"leaderboard-{split}.md", leaderboard_markdown(evaluation))
    store.write_text(f"leaderboard-{split}.csv", leaderboard_csv(evaluation.leaderboard))
    return evaluation


def refuse_protocol(experiment: Experiment, what: str) -> None:
    """Refuse what needs the one model that a k-fold or few-shot run does not have.

    Raises:
        UsageError: the experiment is such a run.
    """
    if follows_protocol(experiment):
        raise UsageError(
            f"{what}: a k-fold or few-shot run has a model for each round, and no single one; "
            "leave dataset.folds and dataset.shots out under another `name`"
        )


def _protocol(experiment: Experiment) -> dict[str, Any]:
    """Which rounds an experiment asks for; how draws are seeded says that they are other rows than others'."""
    dataset = experiment.dataset
    few: dict[str, Any] = {"shots": dataset.shots, "draws": dataset.draws, "seeded_by": ["seed", "draw"]}
    sizes = {"folds": dataset.folds} if dataset.folds else few
    return {**sizes, "drop_duplicates": dataset.drop_duplicates}


def _is_of(found: Mapping[str, Any], carried: Mapping[str, Any], experiment: Experiment) -> bool:
    """Whether trained rounds are those of an experiment and its data."""
    same_rounds = found.get("protocol") == _protocol(experiment)
    return same_rounds and not any(differences(found["carried"], dict(carried)))


def _kind(experiment: Experiment) -> Kind:
    return "folds" if experiment.dataset.folds is not None else "shots"


def _count(experiment: Experiment) -> int:
    return experiment.dataset.folds or experiment.dataset.draws


def _describe(experiment: Experiment, pool: Pool) -> dict[str, Any]:
    dataset = experiment.dataset
    sizes = {"folds": dataset.folds} if dataset.folds else {"shots": dataset.shots, "draws": dataset.draws}
    return {
        "kind": _kind(experiment),
        **sizes,
        "sd_over": "folds" if dataset.folds else "draws",
        "pool": pool.split.split,
        "pool_rows": len(pool.split.rows),
        "repeated_texts": len(pool.texts) - len(np.unique(pool.texts)),
        "left_out": pool.split.left_out,
    }


def _pool(session: Session, extraction: Extraction) -> Pool:
    """Train, and for folds validation as well, with the text of each row known by a number."""
    experiment, splits = session.experiment, extraction.inventory["splits"]
    if "train" not in splits:
        raise UsageError(f"the dataset has no train split (it has {', '.join(splits)})")
    pooled = ["train", *(["validation"] if experiment.dataset.folds and "validation" in splits else [])]
    gathered = [session.services.gather()(extraction.inventory, split) for split in pooled]
    if experiment.dataset.drop_duplicates:
        gathered[0] = exclude_rows(gathered[0], extraction.shared.train_rows)
    spooled = [session.gateways.spool().read(split) for split in pooled]
    starts = np.cumsum([0, *(one.rows for one in spooled[:-1])])
    whole = text_groups(chain.from_iterable(one.stream() for one in spooled))
    rows = np.concatenate([one.rows + start for one, start in zip(gathered, starts, strict=True)])
    return Pool(stack_splits(gathered, starts), whole[rows])


def _deal(session: Session, extraction: Extraction, pool: Pool | None = None) -> Iterator[Round]:
    dataset, recipe = session.experiment.dataset, session.experiment.train
    deal = DealRounds(
        folds=dataset.folds,
        shots=dataset.shots,
        draws=dataset.draws,
        validation_fraction=recipe.validation_fraction,
        seed=session.experiment.seed,
        label_column=dataset.label,
    )
    test = None
    if "test" in extraction.inventory["splits"]:
        if dataset.folds:
            logger.warning("the test split is left alone: each fold is test once")
        else:
            test = session.services.gather()(extraction.inventory, "test")
    return deal(pool or _pool(session, extraction), test)


def _services(session: Session, name: str) -> Callable[[str], Any]:
    """A service by the round in whose own run directory it works."""
    run = Path(session.gateways.runs().directory)

    @cache
    def opened(one: str) -> Session:
        of_round = open_session(session.experiment, run=run / "protocol" / one)
        # One display for the rounds' bar and the bars within.
        of_round.gateways.progress.override(providers.Object(session.gateways.progress()))
        return of_round

    return lambda one: getattr(opened(one).services, name)()


def _basis(session: Session, extraction: Extraction, trained: Mapping[str, Any]) -> str:
    """A fingerprint of everything that an evaluation's numbers depend on."""
    weights = [
        hash_weights(session.gateways.runs(), f"protocol/{one['name']}/models", session.seeds)
        for one in trained["rounds"]
    ]
    return fingerprint(
        {
            "carried": trained["carried"],
            "protocol": trained["protocol"],
            "weights": weights,
            "data": extraction.inventory["splits"],
            "evaluate": session.resolved["evaluate"],
        }
    )

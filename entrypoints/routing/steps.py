"""The steps that the commands of routing are made of, each over an open session."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.adapters.machine.packages import installed_versions
from fusionapp.application.ports.router import AnsweredPrompts, BaselineKind, Prompts, Router
from fusionapp.application.services.evaluate_router import RouterEvaluation
from fusionapp.application.services.extract_parts import PartEncoders, PartsExtraction
from fusionapp.application.services.guard_experiment import differences
from fusionapp.application.services.load_answers import LoadAnswers, LoadedAnswers
from fusionapp.application.services.read_answers import AnswersRead
from fusionapp.application.services.router_metrics import Contestant, Field
from fusionapp.application.services.train_router import GROUP, RouterTraining, TrainRouter, read_trained
from fusionapp.domain.errors import UsageError
from fusionapp.domain.routing.answers import Battles, ScoreMatrix
from fusionapp.domain.routing.metrics import best_single
from fusionapp.domain.splits import chosen_splits
from fusionapp.entrypoints.routing.session import RoutingSession

logger = logging.getLogger(__name__)

BASELINES: tuple[BaselineKind, ...] = (
    "random",
    "best_single",
    "cheapest",
    "prompt_blind",
    "knn",
    "kmeans",
    "ridge",
    "ridge_tfidf",
    "matrix_factorisation",
)


def read_answers(session: RoutingSession) -> AnswersRead:
    """Read the dataset into the run, and say what was left out, averaged, or has no price."""
    dataset = session.experiment.dataset
    found: AnswersRead = session.services.read()(
        test_fraction=dataset.test_fraction,
        validation_fraction=dataset.validation_fraction,
        seed=session.experiment.seed,
        drop_duplicates=dataset.drop_duplicates,
        prices=session.gateways.prices(),
        answer_tokens=dataset.answer_tokens,
    )
    for split, one in found.splits.items():
        if one.dropped:
            logger.warning("%s: %d prompts that another split has, too, are left out", split, one.dropped)
        if one.repeated:
            logger.warning("%s: %d scores that were given again are averaged", split, one.repeated)
    if found.without_price:
        logger.warning("no price is known of %s: their costs stay unknown", ", ".join(found.without_price))
    return found


def extract(session: RoutingSession, read: AnswersRead, splits: Sequence[str] = ()) -> PartsExtraction:
    """Embed the prompts of some splits, or of all, and keep the inventory.

    Raises:
        UsageError: the dataset has no such split.
    """
    chosen = chosen_splits(read.splits, splits)
    spool, source = session.gateways.spool(), session.gateways.answers()
    given = source.splits()
    found: PartsExtraction = session.services.extract_parts()(
        encoders={name: PartEncoders.alike(one) for name, one in session.encoders().items()},
        parts={split: spool.read(split) for split in chosen},
        origins={split: source.describe(split if split in given else "train") for split in chosen},
        storage=session.storage,
        shard_rows=session.experiment.storage.shard_rows,
        dataset={split: spool.read(split).texts_sha256 for split in read.splits},
        kept=list(session.experiment.encoders),
        versions=installed_versions(),
    )
    return found


def load_split(session: RoutingSession, extraction: PartsExtraction, split: str) -> LoadedAnswers:
    """A split's prompts with embeddings and answers, of the models that are compared in train often enough.

    Raises:
        UsageError: the dataset has no such split, or too few models are left.
    """
    chosen_splits(extraction.inventory["splits"], [split])
    load: LoadAnswers = session.services.load()
    compared = load.compared(session.experiment.train.min_model_comparisons)
    for model in compared:
        if not model.kept and split == "train":
            logger.warning(
                "%s is left out: %d comparisons in train (train.min_model_comparisons)",
                model.model,
                model.comparisons,
            )
    models = [model.model for model in compared if model.kept]
    return load(session.services.gather()(extraction.inventory, split), models)


def train(
    session: RoutingSession, extraction: PartsExtraction, group: str = GROUP, overwrite: bool = False
) -> RouterTraining:
    """Train the run's routers in a directory of it, or return what stands there already.

    Args:
        session: of the run.
        extraction: by which prompts' embeddings are found.
        group: the directory.
        overwrite: as of `TrainRouter`.

    Raises:
        UsageError: those that stand there are of other data, and `overwrite` is not set.
        CorruptArtifactError: they were changed since, and `overwrite` is not set.
    """
    carried = carry(session, extraction)
    found = carried_before(session)
    # Where the encoder is tuned, routers over the untuned one come first: another encoder is no other data.
    keys = ("data", "settings") if session.experiment.train.tune_encoder else tuple(carried)
    other = found is not None and any(
        differences({key: found.get(key) for key in keys}, {key: carried[key] for key in keys})
    )
    if other and not overwrite:
        raise UsageError(
            f"{session.gateways.runs().directory} holds routers that were trained on other data; "
            "choose another `name`, or give --overwrite to train again"
        )
    step: TrainRouter = session.services.train()
    return step(
        session.experiment.train,
        list(session.seeds),
        load_split(session, extraction, "train").answered,
        load_split(session, extraction, "validation").answered,
        carried,
        session.experiment.policy.familiar,
        group,
        overwrite,
    )


def carry(session: RoutingSession, extraction: PartsExtraction) -> dict[str, Any]:
    """What makes a router what it is, beside its weights: encoders, data and settings."""
    runs = session.gateways.runs()
    tables = [name for name in ("answers", "battles") if name in runs.read_document("models.json")["tables"]]
    return {
        "encoders": {
            name: {
                "settings": session.encoder_tables[name],
                "identity": encoder["identity"],
                **({"tuned": True} if name in session.tuned else {}),
            }
            for name, encoder in extraction.inventory["encoders"].items()
        },
        "data": {
            split: [
                extraction.inventory["splits"][split]["texts_sha256"],
                *(runs.hash_file(f"{table}/{split}.parquet") for table in tables),
            ]
            for split in ("train", "validation")
        },
        "settings": carried_settings(session),
    }


def carried_settings(session: RoutingSession) -> dict[str, Any]:
    """The settings that a router hangs on beside its encoders and data."""
    resolved = session.resolved
    made = {key: resolved["dataset"][key] for key in ("tie_below", "bad_below")}
    return {"seed": resolved["seed"], "train": resolved["train"], "battles": made}


def carried_before(session: RoutingSession) -> dict[str, Any] | None:
    """What the run's routers carry of their training; None where there are none.

    Raises:
        CorruptArtifactError: what is kept of it describes no training.
    """
    found = read_trained(session.gateways.runs())
    return None if found is None else found["carried"]


def refuse_changed(session: RoutingSession, carried: Mapping[str, Any]) -> None:
    """Refuse a run without routers, or with ones of other data or settings.

    Raises:
        UsageError: it is such a run.
        CorruptArtifactError: what is kept of its training describes none.
    """
    runs = session.gateways.runs()
    found = carried_before(session)
    if found is None:
        raise UsageError(f"{runs.directory} is not trained; run `fusionapp train` first")
    if any(differences(found, dict(carried))):
        raise UsageError(
            f"{runs.directory} was trained on other data or by other settings; run `fusionapp train --overwrite`"
        )


def judge(
    session: RoutingSession,
    extraction: PartsExtraction,
    training: RouterTraining,
    split: str,
    rivals: Sequence[Contestant] = (),
) -> RouterEvaluation:
    """Score a split with the run's routers, the baselines, every single model and the oracle.

    Args:
        session: of the run.
        extraction: by which the split's embeddings are found.
        training: its routers.
        split: which.
        rivals: further controls, which have scored the same prompts.
    """
    settings = session.experiment.evaluate
    loaded = load_split(session, extraction, split)
    test = _with_costs(session, loaded)
    fitted, chosen = (
        _with_costs(session, load_split(session, extraction, one)) for one in ("train", "validation")
    )
    routers, baselines = session.gateways.routers(), session.gateways.baselines()
    prompts = test.prompts

    def contestant(name: str, routers_of: Sequence[Router], ranks: bool = True) -> Contestant:
        return contestant_of(name, routers_of, prompts, ranks)

    directories = [router.directory for router in training.routers]
    controls = [
        contestant(
            kind.replace("_", " "),
            [baselines.fit_baseline(kind, fitted, chosen, session.experiment.seed)],
            # The same order for every prompt ranks models, but a tie for all of them but one does not.
            ranks=kind not in ("random", "best_single", "cheapest"),
        )
        for kind in (_baselines(fitted) if settings.baselines else ())
    ]
    field = _field(
        test.scores,
        fitted.scores,
        foretold=_expected_costs(session, loaded),
        battles=test.battles if loaded.shares else None,
    )
    ids = session.gateways.spool().read(split).ids()
    evaluation: RouterEvaluation = session.services.evaluate()(
        split=split,
        prompt_ids=[str(next(iter(ids[row].values()))) for row in loaded.rows],
        field=field,
        result=contestant("router", [routers.open([one]) for one in directories]),
        ensemble=contestant("ensemble of seeds", [routers.open(directories)]),
        controls=[*rivals, *controls],
        draws=settings.draws,
        baselines=settings.baselines,
    )
    return evaluation


def contestant_of(name: str, routers: Sequence[Router], prompts: Prompts, ranks: bool = True) -> Contestant:
    """What some routers, one a seed, say of prompts."""
    scores = [router.score(prompts) for router in routers]
    success = [router.success(one) for router, one in zip(routers, scores, strict=True)]
    return Contestant(name, scores, success, ranks)


def _baselines(train: AnsweredPrompts) -> Sequence[BaselineKind]:
    """All of them; without a price of every model none is the cheapest."""
    priced = np.isfinite(train.scores.cost).any(axis=0).all()
    return [kind for kind in BASELINES if kind != "cheapest" or priced]


def _expected_costs(session: RoutingSession, loaded: LoadedAnswers) -> NDArray[np.float64]:
    """(prompts, models) USD that answers are expected to cost before they are given; NaN where nobody knows."""
    costs = session.services.load().costs()
    place = [list(costs.models).index(model) for model in loaded.answered.scores.models]
    expected: NDArray[np.float64] = costs.expect(loaded.prompt_tokens)[:, place]
    return expected


def _with_costs(session: RoutingSession, loaded: LoadedAnswers) -> AnsweredPrompts:
    """Prompts whose answers' unknown costs go by what is expected of their models."""
    scores = loaded.answered.scores
    cost = np.where(np.isfinite(scores.cost), scores.cost, _expected_costs(session, loaded))
    return attrs.evolve(loaded.answered, scores=attrs.evolve(scores, cost=cost))


def _field(
    test: ScoreMatrix, train: ScoreMatrix, foretold: NDArray[np.float64], battles: Battles | None
) -> Field:
    """Qualities and costs of a split; weak is the cheapest model, or the worst on train without prices."""
    known = np.isfinite(test.cost).any(axis=0)
    means = np.nanmean(np.where(known, test.cost, np.inf), axis=0)
    quality = np.nan_to_num(np.nanmean(train.quality, axis=0), nan=np.inf)
    weak = int(np.argmin(means)) if known.any() else int(np.argmin(quality))
    return Field(
        list(test.models),
        test.quality,
        test.cost,
        best_single(train.quality),
        weak,
        battles=battles,
        foretold=foretold,
    )

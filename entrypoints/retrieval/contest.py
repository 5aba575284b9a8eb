"""Everyone's rankings of one split: the tuned encoder's, the controls', and what is made of both."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

from fusionapp.adapters.openai_compatible.address import read_address
from fusionapp.application.services.evaluate_retrieval import RetrievalEvaluation
from fusionapp.application.services.extract_parts import PARTS, PartEncoders, PartsExtraction
from fusionapp.application.services.extracted_sets import job_header, set_key
from fusionapp.application.services.rank_documents import RankDocuments, Ranking
from fusionapp.application.services.read_pairs import PairsRead
from fusionapp.application.services.tuned_rounds import Tuning
from fusionapp.domain.errors import UsageError
from fusionapp.entrypoints.experiment.encoder_tables import OpenAISettings
from fusionapp.entrypoints.retrieval.session import RetrievalSession
from fusionapp.entrypoints.retrieval.steps import extract, split_vectors

logger = logging.getLogger(__name__)

CHOOSING = "validation"


def run_contest(
    session: RetrievalSession, tuning: Tuning, split: str, read: PairsRead, skipped: Mapping[str, str]
) -> RetrievalEvaluation:
    """Rank, and judge.

    Args:
        session: an open session.
        tuning: the tuned encoders.
        split: to be judged by.
        read: the pairs.
        skipped: see `find_skipped`.

    Raises:
        UsageError: the dataset has no such split.
        UpstreamError: the server of an encoder failed.
    """
    experiment = session.experiment
    settings = experiment.evaluate
    splits = list(dict.fromkeys((CHOOSING, split)))
    tuned = {f"tuned-{seed}": one.directory for seed, one in tuning.encoders.items()}
    name = experiment.tunable[0]
    encoders = {key: session.roles(name, directory) for key, directory in tuned.items()}
    others = [one for one in experiment.encoders if settings.baselines and one not in skipped]
    encoders |= {other: session.roles(other) for other in others}
    for other, reason in skipped.items():
        logger.warning("%s: %s", other, reason)
    extraction = extract(session, read, encoders, splits)
    load = session.services.load()
    choosing, judged = load.search_problem(CHOOSING), load.search_problem(split)
    rank = RankDocuments(choosing, judged, settings.reach)

    def dense(called: str, sources: Sequence[str], seconds: float = 0.0) -> Ranking:
        vectors = [
            (
                split_vectors(session, extraction, source, CHOOSING),
                split_vectors(session, extraction, source, split),
            )
            for source in sources
        ]
        spent = sum(_seconds(extraction, source) for source in sources)
        return rank.dense(called, vectors, seconds + spent)

    rankings = [dense("tuned", list(tuned), tuning.seconds)]
    if settings.baselines:
        rankings += _controls(session, rank, dense, rankings[0], name, others)
    vectors: list[dict[str, Any]] = []
    if settings.vectors:
        vectors = session.services.tabulate()(
            [split_vectors(session, extraction, one, split) for one in tuned],
            judged,
            experiment.train.matryoshka_dims,
            experiment.train.similarity == "cosine",
        )
    evaluation: RetrievalEvaluation = session.services.evaluate(
        sets=session.gateways.ragas() if settings.ragas else None
    )(split, choosing, judged, rankings, settings.metrics, settings.draws, skipped, vectors)
    return evaluation


def _controls(
    session: RetrievalSession,
    rank: RankDocuments,
    dense: Any,
    tuned: Ranking,
    tunable: str,
    others: Sequence[str],
) -> list[Ranking]:
    lexical = [
        rank.lexical(name, ranker)
        for name, ranker in (("bm25", session.gateways.bm25()), ("tfidf", session.gateways.tfidf()))
    ]
    untuned = dense("untuned", [tunable])
    return [
        rank.hybrid("hybrid", tuned, lexical),
        untuned,
        rank.hybrid("untuned hybrid", untuned, lexical),
        *lexical,
        *(dense(other, [other]) for other in others if other != tunable),
    ]


def find_skipped(session: RetrievalSession, split: str) -> dict[str, str]:
    """Controls that cannot be ranked now, and why."""
    if not session.experiment.evaluate.baselines:
        return {}
    splits = list(dict.fromkeys((CHOOSING, split)))
    reasons = {name: _reason_to_skip(session, name, splits) for name in session.experiment.encoders}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def _reason_to_skip(session: RetrievalSession, name: str, splits: Sequence[str]) -> str | None:
    """Why an encoder cannot be asked now; None where it can, or where everything it would say is stored."""
    settings = session.experiment.encoders[name]
    if not isinstance(settings, OpenAISettings):
        return None
    variable = read_address(settings.base_url, settings.api_key_env).key_name
    if variable is None or os.environ.get(variable, "").strip():
        return None
    try:
        stored = _is_stored(session, session.roles(name), splits)
    except (
        UsageError
    ):  # only the server knows how long the model's vectors are, so where they stand is not known
        stored = False
    return None if stored else f"skipped: no key ({variable} is not set)"


def _is_stored(session: RetrievalSession, roles: PartEncoders, splits: Sequence[str]) -> bool:
    spool, store = session.gateways.spool(), session.gateways.store()
    for part in (f"{split}.{part}" for split in splits for part in PARTS):
        stored = store.read(set_key(job_header(roles.of(part), spool.read(part), 1)))
        if stored is None or not stored.status().complete:
            return False
    return True


def _seconds(extraction: PartsExtraction, name: str) -> float:
    """Spent on an encoder's vectors of all parts, now or by an earlier run."""
    sets: Mapping[str, Any] = extraction.inventory["encoders"][name]["sets"]
    return float(sum(place["seconds"] for place in sets.values()))

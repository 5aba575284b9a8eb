"""Everyone's rankings of one split: the encoder's, the controls', and what is made of both."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from fusionapp.adapters.openai_compatible.address import read_address
from fusionapp.application.services.evaluate_retrieval import EvaluateRetrieval, RetrievalEvaluation
from fusionapp.application.services.extract_parts import PARTS, PartEncoders, PartsExtraction
from fusionapp.application.services.extracted_sets import job_header, set_key
from fusionapp.application.services.hybrid import keep_hybrids
from fusionapp.application.services.load_pairs import SearchProblem
from fusionapp.application.services.rank_documents import RankDocuments, Ranking, SplitVectors
from fusionapp.application.services.read_pairs import PairsRead
from fusionapp.application.services.tuned_rounds import Tuning
from fusionapp.domain.errors import UsageError
from fusionapp.entrypoints.experiment.encoder_tables import OpenAISettings
from fusionapp.entrypoints.retrieval.session import RetrievalSession
from fusionapp.entrypoints.retrieval.steps import extract, split_vectors

logger = logging.getLogger(__name__)

CHOOSING = "validation"


@attrs.frozen
class _Field:
    """Ranks one split by vectors that were extracted.

    Attributes:
        session: an open session.
        extraction: of every encoder over `choosing` and `split`.
        rank: over the same.
        choosing: the split where choices are made; None where the dataset has none.
        split: to be judged by.
    """

    session: RetrievalSession
    extraction: PartsExtraction
    rank: RankDocuments
    choosing: str | None
    split: str

    def dense(self, called: str, sources: Sequence[str], seconds: float = 0.0) -> Ranking:
        """By the vectors of these encoders, one a seed; `seconds` were spent before they were extracted."""
        choosing = self.choosing
        vectors = [
            (None if choosing is None else self.vectors(source, choosing), self.vectors(source, self.split))
            for source in sources
        ]
        spent = sum(_seconds(self.extraction, source) for source in sources)
        return self.rank.dense(called, vectors, seconds + spent)

    def vectors(self, source: str, split: str) -> SplitVectors:
        """An encoder's vectors of a split."""
        return split_vectors(self.session, self.extraction, source, split)


def judging_splits(read: PairsRead, split: str) -> list[str]:
    """The splits that an evaluation takes: validation, where there is one, and the one that is judged."""
    return list(dict.fromkeys(name for name in (CHOOSING, split) if name in read.splits))


def run_contest(
    session: RetrievalSession, tuning: Tuning | None, split: str, read: PairsRead, skipped: Mapping[str, str]
) -> RetrievalEvaluation:
    """Rank, and judge.

    Args:
        session: an open session.
        tuning: the tuned encoders; None: the encoder is judged as it comes.
        split: to be judged by.
        read: the pairs.
        skipped: see `find_skipped`.

    Raises:
        UsageError: the dataset has no such split.
        UpstreamError: the server of an encoder failed.
    """
    settings = session.experiment.evaluate
    contenders = _contenders(session, tuning)
    others = [one for one in session.experiment.encoders if settings.baselines and one not in skipped]
    for other, reason in skipped.items():
        logger.warning("%s: %s", other, reason)
    splits = judging_splits(read, split)
    encoders = contenders | {other: session.roles(other) for other in others}
    extraction = extract(session, read, encoders, splits)
    load = session.services.load()
    judged = load.search_problem(split)
    choosing = load.search_problem(CHOOSING) if CHOOSING in splits else None
    rank = RankDocuments(choosing, judged, settings.reach)
    field = _Field(session, extraction, rank, None if choosing is None else CHOOSING, split)
    called, seconds = ("untuned", 0.0) if tuning is None else ("tuned", tuning.seconds)
    rankings = [field.dense(called, list(contenders), seconds)]
    if settings.baselines:
        rankings += _controls(field, rankings[0], others)
    vectors = _shortened(field, list(contenders), judged) if settings.vectors else []
    sets = session.gateways.ragas() if settings.ragas else None
    judge: EvaluateRetrieval = session.services.evaluate(sets=sets)
    evaluation = judge(split, choosing, judged, rankings, settings.metrics, settings.draws, skipped, vectors)
    hybrids = next((one.hybrids for one in rankings if one.name == "hybrid"), ())
    if hybrids:
        identities = [roles.document.identity for roles in contenders.values()]
        chosen = list(zip(identities, hybrids, strict=True))
        keep_hybrids(session.gateways.runs(), chosen, settings.reach)
    return evaluation


def _contenders(session: RetrievalSession, tuning: Tuning | None) -> dict[str, PartEncoders]:
    """The encoders that are judged: one a seed, or the experiment's as it comes."""
    name = session.experiment.tunable[0]
    if tuning is None:
        return {name: session.roles(name)}
    return {f"tuned-{seed}": session.roles(name, one.directory) for seed, one in tuning.encoders.items()}


def _controls(field: _Field, result: Ranking, others: Sequence[str]) -> list[Ranking]:
    rank, gateways = field.rank, field.session.gateways
    tunable = field.session.experiment.tunable[0]
    lexical = [rank.lexical("bm25", gateways.bm25()), rank.lexical("tfidf", gateways.tfidf())]
    found = [rank.hybrid("hybrid", result, lexical)]
    if result.name == "tuned":
        untuned = field.dense("untuned", [tunable])
        found += [untuned, rank.hybrid("untuned hybrid", untuned, lexical)]
    return [*found, *lexical, *(field.dense(other, [other]) for other in others if other != tunable)]


def _shortened(field: _Field, sources: Sequence[str], judged: SearchProblem) -> list[dict[str, Any]]:
    """The table of shorter and coarser vectors."""
    train = field.session.experiment.train
    found: list[dict[str, Any]] = field.session.services.tabulate()(
        [field.vectors(one, field.split) for one in sources],
        judged,
        train.matryoshka_dims,
        train.similarity == "cosine",
    )
    return found


def find_skipped(session: RetrievalSession, splits: Sequence[str]) -> dict[str, str]:
    """Controls that cannot be ranked now, and why; `splits` as of `judging_splits`."""
    if not session.experiment.evaluate.baselines:
        return {}
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

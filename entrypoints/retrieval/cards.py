"""The model card beside each tuned encoder of a run: without scores once it is tuned, with them once evaluated."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fusionapp.adapters.huggingface.tuning.model_card import (
    Chosen,
    Control,
    Score,
    Split,
    Tuned,
    model_card,
)
from fusionapp.adapters.machine.packages import installed_versions
from fusionapp.application.services.evaluate_retrieval import VERDICT_ON, RetrievalEvaluation
from fusionapp.application.services.extract_parts import PARTS
from fusionapp.application.services.read_pairs import PairsRead
from fusionapp.application.services.tuned_rounds import GROUP, MODEL, Tuning
from fusionapp.domain.catalogue import find_card
from fusionapp.domain.embeddings import fingerprint
from fusionapp.domain.scores import Summary
from fusionapp.entrypoints.retrieval.session import RetrievalSession

MADE_WITH = ("fusionapp", "torch", "transformers", "tokenizers", "peft", "bitsandbytes")


def write_cards(
    session: RetrievalSession, tuning: Tuning, read: PairsRead, evaluation: RetrievalEvaluation | None = None
) -> None:
    """Write ``models/seed-K/model/README.md`` for every seed.

    Args:
        session: an open session.
        tuning: the tuned encoders.
        read: the pairs.
        evaluation: of the test split; None before it.
    """
    runs = session.gateways.runs()
    versions = {name: number for name, number in installed_versions().items() if name in MADE_WITH}
    for seed, one in tuning.encoders.items():
        rounds = tuning.seeds[seed]
        card = model_card(
            _tuned(session, seed, tuning),
            [_split(session, name, read) for name in read.splits],
            {**session.resolved["train"], "seed": seed},
            {} if evaluation is None else _scores(evaluation.result),
            {} if evaluation is None else _scores(evaluation.controls.get("untuned", {})),
            versions,
            [] if evaluation is None else _controls(evaluation),
            Chosen(rounds[0].encoder.untuned["mrr@10"], one.validation["mrr@10"]),
            len(tuning.encoders),
        )
        runs.write_text(f"{GROUP}/seed-{seed}/{MODEL}/README.md", card)


def _tuned(session: RetrievalSession, seed: int, tuning: Tuning) -> Tuned:
    experiment, one = session.experiment, tuning.encoders[seed]
    name, settings = experiment.tunable
    roles = session.roles(name, one.directory)
    document: Mapping[str, Any] = roles.document.identity
    return Tuned(
        name=experiment.name,
        base=_base(settings.model),
        base_licence=None,
        dim=roles.document.shape.dim,
        max_length=document["max_length"],
        pooling=document["pooling"],
        similarity=experiment.train.similarity,
        query_prefix=roles.query.identity["prefix"],
        document_prefix=document["prefix"],
        bidirectional=experiment.train.bidirectional,
        method=one.preflight.method,
        trainable=one.preflight.trainable,
        parameters=one.preflight.parameters,
    )


def _base(model: str) -> str:
    """A hub id, or the last part of a path: where a model stands on this machine is nobody's business."""
    card = find_card(model)
    if card is not None:
        return card.model
    return Path(model).resolve().name if Path(model).is_dir() else model


def _split(session: RetrievalSession, name: str, read: PairsRead) -> Split:
    runs, spool, kept = session.gateways.runs(), session.gateways.spool(), read.splits[name]
    digest = fingerprint(
        {
            "texts": [spool.read(f"{name}.{part}").texts_sha256 for part in PARTS],
            "pairs": runs.hash_file(f"pairs/{name}.parquet"),
        }
    )
    return Split(name, kept.pairs, kept.queries, kept.documents, digest)


def _scores(metrics: Mapping[str, Summary]) -> dict[str, Score]:
    return {name: _score(one) for name, one in metrics.items()}


def _score(summary: Summary) -> Score:
    return Score(summary.mean, summary.low, summary.high)


def _controls(evaluation: RetrievalEvaluation) -> list[Control]:
    return [
        Control(name, _score(metrics[VERDICT_ON]), str(evaluation.verdicts[name]))
        for name, metrics in evaluation.controls.items()
    ]

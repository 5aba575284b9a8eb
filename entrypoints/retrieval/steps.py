"""The steps that the commands of retrieval are made of, each over an open session."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import attrs
import numpy as np

from fusionapp.adapters.machine.packages import installed_versions
from fusionapp.application.ports.embedding_store import EmbeddingStore
from fusionapp.application.ports.run_store import RunStore
from fusionapp.application.services.extract_parts import (
    DOCUMENTS,
    PARTS,
    QUERIES,
    PartEncoders,
    PartsExtraction,
)
from fusionapp.application.services.guard_experiment import differences
from fusionapp.application.services.mine_negatives import Vectors
from fusionapp.application.services.rank_documents import SplitVectors
from fusionapp.application.services.read_pairs import PairsRead
from fusionapp.application.services.tune_encoder import TuneEncoder
from fusionapp.application.services.tuned_rounds import GROUP, Tuning, read_document
from fusionapp.domain.errors import CorruptArtifactError, UsageError
from fusionapp.domain.normalization import l2_normalize
from fusionapp.domain.splits import chosen_splits
from fusionapp.entrypoints.retrieval.crew import open_tuner
from fusionapp.entrypoints.retrieval.session import RetrievalSession

logger = logging.getLogger(__name__)


def read_pairs(session: RetrievalSession) -> PairsRead:
    """Read the dataset into the run, and warn of texts that stand in several splits."""
    dataset = session.experiment.dataset
    found: PairsRead = session.services.read()(
        test_fraction=dataset.test_fraction,
        validation_fraction=dataset.validation_fraction,
        by=dataset.split_by,
        seed=session.experiment.seed,
    )
    for sentence in found.shared.sentences():
        logger.warning("%s", sentence)
    return found


def extract(
    session: RetrievalSession, read: PairsRead, encoders: Mapping[str, PartEncoders], splits: Sequence[str]
) -> PartsExtraction:
    """Embed queries and documents of some splits by some encoders, and keep the inventory.

    Raises:
        UsageError: the dataset has no such split.
    """
    chosen_splits(read.splits, splits)
    spool = session.gateways.spool()
    parts = {f"{split}.{part}": spool.read(f"{split}.{part}") for split in splits for part in PARTS}
    every = [f"{split}.{part}" for split in read.splits for part in PARTS]
    source = session.gateways.pairs()
    given = source.splits()
    origins = {
        part: source.describe(split if (split := part.partition(".")[0]) in given else "train")
        for part in parts
    }
    found: PartsExtraction = session.services.extract_parts()(
        encoders=encoders,
        parts=parts,
        origins=origins,
        storage=session.storage,
        shard_rows=session.experiment.storage.shard_rows,
        dataset={part: spool.read(part).texts_sha256 for part in every},
        kept=list(session.experiment.encoders),
        versions=installed_versions(),
    )
    return found


def split_vectors(
    session: RetrievalSession, extraction: PartsExtraction, name: str, split: str
) -> SplitVectors:
    """One encoder's stored vectors of a split, of length 1 where the similarity is the cosine."""
    sets = extraction.inventory["encoders"][name]["sets"]
    cosine = session.experiment.train.similarity == "cosine"
    store: EmbeddingStore = session.gateways.store()
    return SplitVectors(*(_vectors(store, sets[f"{split}.{part}"], cosine) for part in PARTS))


def tune(session: RetrievalSession, read: PairsRead, overwrite: bool) -> Tuning:
    """Tune the run's encoder, or return what stands there already; `overwrite` as of `TuneEncoder`."""
    for split in ("train", "validation"):
        if split not in read.splits:
            way_out = "; `fusionapp evaluate` judges the encoder as it comes" if split == "train" else ""
            there = ", ".join(read.splits)
            raise UsageError(f"the dataset has no {split} split (it has {there}) to tune by{way_out}")
    load = session.services.load()
    experiment = session.experiment
    mine = session.services.mine(
        embed=lambda model: embed_split(session, model, "train"),
        index=session.gateways.index(experiment.index.kind),
    )
    step: TuneEncoder = session.services.tune(open_tuner=partial(open_tuner, session), mine=mine)
    return step(
        experiment.train,
        list(session.seeds),
        load("train"),
        load("validation"),
        carry(session),
        overwrite,
    )


def refuse_changed(session: RetrievalSession) -> None:
    """Refuse a run that was tuned on other data or by other settings, or whose encoders were changed since.

    Raises:
        UsageError: it is one of other data or settings.
        CorruptArtifactError: an encoder is not what was saved.
    """
    runs = session.gateways.runs()
    found = read_document(runs)
    if found is None or any(differences(found["carried"], carry(session))):
        raise UsageError(
            f"{runs.directory} was trained on other data or by other settings; run `fusionapp train --overwrite`"
        )
    refuse_damaged(runs, GROUP)


def refuse_damaged(runs: RunStore, group: str) -> None:
    """Refuse tuned encoders that are not what was saved.

    Raises:
        CorruptArtifactError: a file below `group` is not.
    """
    changed = runs.verify(group)
    if changed:
        raise CorruptArtifactError(
            f"{runs.directory}/{changed[0].file}: {changed[0].problem}; tune again by "
            "`fusionapp train --overwrite`"
        )


def carry(session: RetrievalSession) -> dict[str, Any]:
    """What makes a tuned encoder what it is, beside its weights: the encoder it was, data and settings."""
    return {
        "encoders": carried_encoder(session),
        "data": carried_data(session, ("train", "validation")),
        "settings": {key: session.resolved[key] for key in ("seed", "train")},
    }


def carried_encoder(session: RetrievalSession) -> dict[str, Any]:
    """The encoder that is tuned, as it came: its settings, and what it is in either role."""
    name = session.experiment.tunable[0]
    roles = session.roles(name)
    return {
        name: {
            "settings": session.resolved["encoders"][name],
            "identity": [dict(roles.query.identity), dict(roles.document.identity)],
        }
    }


def carried_data(session: RetrievalSession, splits: Sequence[str]) -> dict[str, Any]:
    """Digests of some splits' texts, and of which of them belong together."""
    runs, spool = session.gateways.runs(), session.gateways.spool()
    return {
        split: [
            spool.read(f"{split}.{QUERIES}").texts_sha256,
            spool.read(f"{split}.{DOCUMENTS}").texts_sha256,
            runs.hash_file(f"pairs/{split}.parquet"),
        ]
        for split in splits
    }


def embed_split(session: RetrievalSession, model: str | None, split: str) -> tuple[Vectors, Vectors]:
    """Vectors of a split's queries and documents by a saved encoder; by the untuned one where it is None."""
    name, spool = session.experiment.tunable[0], session.gateways.spool()
    roles, extract_one = session.roles(name, model), session.services.extract()
    cosine = session.experiment.train.similarity == "cosine"
    found = []
    for part in PARTS:
        texts = {part: spool.read(f"{split}.{part}")}
        (made,) = extract_one(
            f"mining {part}", roles.of(f".{part}"), texts, session.experiment.storage.shard_rows
        )
        found.append(_vectors(session.gateways.store(), attrs.asdict(made, recurse=False), cosine))
    return found[0], found[1]


def _vectors(store: EmbeddingStore, place: Mapping[str, Any], cosine: bool) -> Vectors:
    stored = store.read(place["key"])
    if stored is None or not stored.status().complete:
        raise CorruptArtifactError(
            f"{place['directory']}: embeddings are gone or incomplete; run the same command again"
        )
    vectors = np.zeros((stored.header.rows, stored.header.shape.dim), dtype=np.float32)
    vectors[stored.rows()] = np.asarray(stored.load())[:, 0]
    left_out = stored.header.rows - len(stored.rows())
    if left_out:
        logger.warning("%s: %d quarantined texts are never found", place["directory"], left_out)
    return l2_normalize(vectors) if cosine else vectors

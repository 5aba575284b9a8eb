"""Building a run's index and searching it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from fusionapp.application.services.build_index import BuildIndex
from fusionapp.application.services.extract_parts import DOCUMENTS
from fusionapp.application.services.search_index import Answer, SearchIndex
from fusionapp.application.services.tuned_rounds import GROUP, read_tuning
from fusionapp.domain.errors import UsageError
from fusionapp.entrypoints.experiment.environment import read_environment
from fusionapp.entrypoints.experiment.load import load_any, runs_directory
from fusionapp.entrypoints.retrieval.schema import RetrievalExperiment
from fusionapp.entrypoints.retrieval.session import RetrievalSession, open_retrieval
from fusionapp.entrypoints.retrieval.steps import refuse_damaged

KINDS = ("numpy", "flat", "hnsw", "ivfpq", "usearch")


def build_index(
    run: Path, kind: str | None = None, split: str = "test", quiet: bool = True
) -> Mapping[str, Any]:
    """Embed a split's documents and index them: by the tuned encoder, or by the untuned one of a run without.

    Args:
        run: the run directory of a retrieval experiment.
        kind: of index; None: as the experiment says.
        split: whose documents.
        quiet: show no progress bars.

    Returns:
        What ``index/index.json`` holds.

    Raises:
        UsageError: no such run, kind or split.
        FusionAppError: see `fusionapp.domain.errors`.
    """
    session = open_run(run, quiet)
    runs, spool = session.gateways.runs(), session.gateways.spool()
    best = best_encoder(session)
    with runs.lock():
        if best.group is not None:
            refuse_damaged(runs, best.group)
        part = f"{split}.{DOCUMENTS}"
        texts = {part: spool.read(part)}
        encoder = session.roles(session.experiment.tunable[0], best.directory).document
        rows = session.experiment.storage.shard_rows
        (stored,) = session.services.extract()(best.name, encoder, texts, rows)
        build: BuildIndex = session.services.build_index(indexes=_indexes(session))
        return build(
            kind or session.experiment.index.kind,
            stored.key,
            best.name,
            part,
            session.experiment.train.similarity,
        )


def search(
    run: Path, queries: Iterable[str], k: int = 10, hybrid: bool = False, quiet: bool = True
) -> Iterator[Answer]:
    """The documents nearest to each query, in the queries' order.

    Args:
        run: a run directory with an index.
        queries: read as the answers are taken.
        k: most documents of a query.
        hybrid: go by words as well, in the way that `evaluate` chose for this encoder on validation; by reciprocal
            ranks with BM25 where it did not.
        quiet: show no progress bars.

    Raises:
        UsageError: no such run, it has no index, the encoder was tuned anew since, or a query is blank.
        CorruptArtifactError: the index or the documents are not what was written.
    """
    session = open_run(run, quiet)
    roles = session.roles(session.experiment.tunable[0], best_encoder(session).directory)
    ask: SearchIndex = session.services.search_index(indexes=_indexes(session))
    words = {"bm25": session.gateways.bm25(), "tfidf": session.gateways.tfidf()} if hybrid else None
    try:
        yield from ask(queries, roles.query, k, words, reader=roles.document)
    finally:
        roles.query.close()


def open_run(run: Path, quiet: bool) -> RetrievalSession:
    """The session of a retrieval experiment's run.

    Raises:
        UsageError: it is none.
    """
    experiment = load_any(run, defaults=read_environment().defaults())
    if not isinstance(experiment, RetrievalExperiment):
        raise UsageError(
            f'{run}: is of task.kind = "{experiment.task.kind}"; what is searched is a retrieval experiment\'s run'
        )
    return open_retrieval(experiment, quiet=quiet, run=Path(runs_directory(run, "runs")) / experiment.name)


@attrs.frozen
class BestEncoder:
    """The encoder that searches.

    Attributes:
        name: for people.
        directory: of its model; None for the untuned one.
        group: where its files stand in the run; None for the untuned one.
    """

    name: str = "untuned"
    directory: str | None = None
    group: str | None = None


def best_encoder(session: RetrievalSession) -> BestEncoder:
    """The seed of the best validation MRR; the untuned encoder of a run that is not tuned."""
    tuning = read_tuning(session.gateways.runs())
    if tuning is None:
        return BestEncoder()
    seed = tuning.best_seed
    return BestEncoder(f"tuned-{seed}", tuning.encoders[seed].directory, f"{GROUP}/seed-{seed}")


def _indexes(session: RetrievalSession) -> dict[str, Any]:
    return {kind: session.gateways.index(kind) for kind in KINDS}

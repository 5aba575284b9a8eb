"""Building a run's index and searching it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from fusionapp.application.services.build_index import BuildIndex
from fusionapp.application.services.extract_pairs import DOCUMENTS
from fusionapp.application.services.search_index import Answer, SearchIndex
from fusionapp.application.services.tune_encoder import GROUP, read_tuning
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
    session = _open(run, quiet)
    runs, spool = session.gateways.runs(), session.gateways.spool()
    name, model = _encoder(session)
    with runs.lock():
        if model is not None:
            refuse_damaged(runs, f"{GROUP}/{name.replace('tuned', 'seed')}")
        part = f"{split}.{DOCUMENTS}"
        texts = {part: spool.read(part)}
        encoder = session.roles(session.experiment.tunable[0], model).document
        rows = session.experiment.storage.shard_rows
        (stored,) = session.services.extract()(name, encoder, texts, rows)
        build: BuildIndex = session.services.build_index(indexes=_indexes(session))
        return build(
            kind or session.experiment.index.kind,
            stored.key,
            name,
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
        hybrid: go by words (BM25) as well.
        quiet: show no progress bars.

    Raises:
        UsageError: no such run, it has no index, the encoder was tuned anew since, or a query is blank.
        CorruptArtifactError: the index or the documents are not what was written.
    """
    session = _open(run, quiet)
    _, model = _encoder(session)
    roles = session.roles(session.experiment.tunable[0], model)
    ask: SearchIndex = session.services.search_index(indexes=_indexes(session))
    words = session.gateways.bm25() if hybrid else None
    try:
        yield from ask(queries, roles.query, k, words, reader=roles.document)
    finally:
        roles.query.close()


def _open(run: Path, quiet: bool) -> RetrievalSession:
    experiment = load_any(run, defaults=read_environment().defaults())
    if not isinstance(experiment, RetrievalExperiment):
        raise UsageError(
            f'{run}: is of task.kind = "{experiment.task.kind}"; what is searched is a retrieval experiment\'s run'
        )
    return open_retrieval(experiment, quiet=quiet, run=Path(runs_directory(run, "runs")) / experiment.name)


def _encoder(session: RetrievalSession) -> tuple[str, str | None]:
    """The name and directory of the encoder that searches: the seed of the best validation MRR."""
    tuning = read_tuning(session.gateways.runs())
    if tuning is None:
        return "untuned", None
    return f"tuned-{tuning.best_seed}", tuning.encoders[tuning.best_seed].directory


def _indexes(session: RetrievalSession) -> dict[str, Any]:
    return {kind: session.gateways.index(kind) for kind in KINDS}

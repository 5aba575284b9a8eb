"""Building the adapters that retrieval alone needs, each importing its technology only when it is built."""

from __future__ import annotations

from typing import Any, Literal

from fusionapp.application.ports.encoder_tuner import EncoderTuner
from fusionapp.application.ports.lexical_ranker import LexicalRanker
from fusionapp.application.ports.pair_source import PairSource
from fusionapp.application.ports.ranking_metrics import RankingMetrics
from fusionapp.application.ports.vector_index import VectorIndex
from fusionapp.domain.retrieval.pair_columns import PairLayout, pair_layout
from fusionapp.entrypoints.gateways import SPLITS
from fusionapp.entrypoints.retrieval.roles import role_tables

COLUMNS = ("topic", "label", "date", "id", "query_id", "negatives", "grade")


def file_pairs(dataset: dict[str, Any]) -> PairSource:
    """Pairs from files."""
    from fusionapp.adapters.files.pairs import FilePairSource

    splits = _paths(dataset)
    if dataset["topics"]:
        files = [splits["train"]] if isinstance(splits["train"], str) else splits["train"]
        splits["train"] = [
            {"path": path, "topic": topic} for path, topic in zip(files, dataset["topics"], strict=True)
        ]
    return FilePairSource(splits, _columns(dataset))


def hub_pairs(dataset: dict[str, Any], data_dir: str | None) -> PairSource:
    """Pairs through the `datasets` library."""
    from fusionapp.adapters.hub_datasets.pairs import HubPairSource

    return HubPairSource(
        dataset["name"],
        _columns(dataset),
        config=dataset["config"],
        revision=dataset["revision"],
        data_dir=data_dir,
    )


def arxiv_pairs(dataset: dict[str, Any]) -> PairSource:
    """Titles and abstracts."""
    from fusionapp.adapters.arxiv.source import ArxivSource

    return ArxivSource(_paths(dataset))


def beir_pairs(dataset: dict[str, Any]) -> PairSource:
    """A directory in BEIR's layout."""
    from fusionapp.adapters.beir.source import BeirSource

    return BeirSource(dataset["name"])


def encoder_tuner(settings: dict[str, Any], model: str | None, model_cache: str | None) -> EncoderTuner:
    """A transformer that is to be tuned: that of an encoder's table, or one that an earlier round saved."""
    from fusionapp.adapters.huggingface.tuning.settings import EncoderSettings
    from fusionapp.adapters.huggingface.tuning.tuner import HuggingFaceTuner

    tables = role_tables(settings, model)
    encoder = EncoderSettings(
        model=tables["document"]["model"],
        pooling=settings["pooling"],
        query_prefix=tables["query"]["prefix"],
        document_prefix=tables["document"]["prefix"],
        max_length=settings["max_length"],
        normalize=settings["normalize"],
        revision=tables["document"]["revision"],
        cache_dir=model_cache,
    )
    return HuggingFaceTuner(encoder)


def numpy_index() -> VectorIndex:
    """Exact search without a library."""
    from fusionapp.adapters.numpy_index.index import NumpyIndex

    return NumpyIndex()


def faiss_index(kind: Literal["flat", "hnsw", "ivfpq"]) -> VectorIndex:
    """FAISS."""
    from fusionapp.adapters.faiss_index.index import FaissIndex

    return FaissIndex(kind)


def usearch_index() -> VectorIndex:
    """USearch."""
    from fusionapp.adapters.usearch_index.index import UsearchIndex

    return UsearchIndex()


def bm25() -> LexicalRanker:
    """BM25."""
    from fusionapp.adapters.bm25.ranker import Bm25

    return Bm25()


def tfidf() -> LexicalRanker:
    """TF-IDF and the cosine."""
    from fusionapp.adapters.tfidf.ranker import TfIdf

    return TfIdf()


def measures() -> RankingMetrics:
    """Metrics of ranked lists."""
    from fusionapp.adapters.ir_measures.metrics import IrMeasures

    return IrMeasures()


def ragas() -> RankingMetrics:
    """Metrics of retrieved sets."""
    from fusionapp.adapters.ragas.metrics import RagasMetrics

    return RagasMetrics()


def _paths(dataset: dict[str, Any]) -> dict[str, Any]:
    return {split: dataset[split] for split in SPLITS if dataset[split] is not None}


def _columns(dataset: dict[str, Any]) -> PairLayout:
    """The columns that are named; an empty list of them names none, but for the texts, which there must be."""
    named: dict[str, Any] = {key: dataset[key] or None for key in COLUMNS}
    return pair_layout(dataset["query"], dataset["document"], **named)

"""The composition root of retrieval: the adapters that every experiment has, and its own."""

from __future__ import annotations

from dependency_injector import containers, providers

from fusionapp.application.services.build_index import BuildIndex
from fusionapp.application.services.evaluate_retrieval import EvaluateRetrieval
from fusionapp.application.services.export_embeddings import ExportEmbeddings
from fusionapp.application.services.extract_embeddings import ExtractEmbeddings
from fusionapp.application.services.extract_parts import ExtractParts
from fusionapp.application.services.guard_experiment import GuardExperiment
from fusionapp.application.services.list_pairs import ListPairs
from fusionapp.application.services.load_pairs import LoadPairs
from fusionapp.application.services.mine_negatives import MineNegatives
from fusionapp.application.services.read_pairs import ReadPairs
from fusionapp.application.services.report_status import ReportStatus
from fusionapp.application.services.search_index import SearchIndex
from fusionapp.application.services.tabulate_vectors import TabulateVectors
from fusionapp.application.services.tune_encoder import TuneEncoder
from fusionapp.application.services.verify_embeddings import VerifyEmbeddings
from fusionapp.entrypoints.containers import Gateways
from fusionapp.entrypoints.retrieval import gateways as build


class RetrievalGateways(Gateways):
    """The adapters; those of `Gateways` that ask for a classifier's settings are never built here."""

    pairs = providers.Selector(
        Gateways.config.experiment.dataset.source,
        files=providers.Factory(build.file_pairs, Gateways.config.experiment.dataset),
        huggingface=providers.Factory(
            build.hub_pairs, Gateways.config.experiment.dataset, data_dir=Gateways.config.environment.data
        ),
        arxiv=providers.Factory(build.arxiv_pairs, Gateways.config.experiment.dataset),
        beir=providers.Factory(build.beir_pairs, Gateways.config.experiment.dataset),
    )
    tuner = providers.Factory(
        build.encoder_tuner,
        model_cache=Gateways.config.environment.model_cache,
    )
    index = providers.FactoryAggregate(
        numpy=providers.Factory(build.numpy_index),
        flat=providers.Factory(build.faiss_index, "flat"),
        hnsw=providers.Factory(build.faiss_index, "hnsw"),
        ivfpq=providers.Factory(build.faiss_index, "ivfpq"),
        usearch=providers.Factory(build.usearch_index),
    )
    bm25 = providers.Factory(build.bm25)
    tfidf = providers.Factory(build.tfidf)
    measures = providers.Factory(build.measures)
    ragas = providers.Factory(build.ragas)


class RetrievalServices(containers.DeclarativeContainer):
    """The use cases over the adapters."""

    config = providers.Configuration(strict=True)
    gateways = providers.DependenciesContainer()

    guard = providers.Factory(GuardExperiment, runs=gateways.runs)
    read = providers.Factory(ReadPairs, source=gateways.pairs, spool=gateways.spool, runs=gateways.runs)
    load = providers.Factory(LoadPairs, spool=gateways.spool, runs=gateways.runs)
    list_pairs = providers.Factory(ListPairs, load=load, spool=gateways.spool)
    extract = providers.Factory(
        ExtractEmbeddings, store=gateways.store, executor=gateways.executor, progress=gateways.progress
    )
    extract_parts = providers.Factory(ExtractParts, extract=extract, runs=gateways.runs)
    mine = providers.Factory(MineNegatives, scratch=gateways.scratch.provider)
    tune = providers.Factory(
        TuneEncoder,
        runs=gateways.runs,
        track=gateways.tracker.provider,
        progress=gateways.progress,
    )
    build_index = providers.Factory(BuildIndex, store=gateways.store, runs=gateways.runs)
    search_index = providers.Factory(SearchIndex, runs=gateways.runs, spool=gateways.spool)
    evaluate = providers.Factory(EvaluateRetrieval, measures=gateways.measures, runs=gateways.runs)
    tabulate = providers.Factory(TabulateVectors, measures=gateways.measures)
    status = providers.Factory(ReportStatus, store=gateways.store)
    verify = providers.Factory(VerifyEmbeddings, store=gateways.store)
    export = providers.Factory(ExportEmbeddings, store=gateways.store, spool=gateways.spool)


class RetrievalApplication(containers.DeclarativeContainer):
    """Everything."""

    config = providers.Configuration(strict=True)
    gateways = providers.Container(RetrievalGateways, config=config)
    services = providers.Container(RetrievalServices, config=config, gateways=gateways)

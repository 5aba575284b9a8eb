"""The composition root of routing: the adapters that every experiment has, and its own."""

from __future__ import annotations

from dependency_injector import containers, providers

from fusionapp.application.services.add_model import AddModel
from fusionapp.application.services.embed_prompts import EmbedPrompts
from fusionapp.application.services.evaluate_router import EvaluateRouter
from fusionapp.application.services.extend_router import ExtendRouter
from fusionapp.application.services.extract_embeddings import ExtractEmbeddings
from fusionapp.application.services.extract_parts import ExtractParts
from fusionapp.application.services.gather_embeddings import GatherEmbeddings
from fusionapp.application.services.guard_experiment import GuardExperiment
from fusionapp.application.services.load_answers import LoadAnswers
from fusionapp.application.services.measure_cold_start import MeasureColdStart
from fusionapp.application.services.read_answers import ReadAnswers
from fusionapp.application.services.route_prompts import RoutePrompts
from fusionapp.application.services.train_router import TrainRouter
from fusionapp.application.services.tune_router_encoder import TuneRouterEncoder
from fusionapp.entrypoints.containers import Gateways
from fusionapp.entrypoints.routing import gateways as build


class RoutingGateways(Gateways):
    """The adapters; those of `Gateways` that ask for a classifier's settings are never built here."""

    answers = providers.Selector(
        Gateways.config.experiment.dataset.source,
        files=providers.Factory(build.file_answers, Gateways.config.experiment.dataset),
        huggingface=providers.Factory(
            build.hub_answers, Gateways.config.experiment.dataset, data_dir=Gateways.config.environment.data
        ),
    )
    probes = providers.Factory(build.probe_answers, Gateways.config.experiment.dataset)
    prices = providers.Factory(build.read_prices, Gateways.config.experiment.dataset.prices)
    router_trainer = providers.Factory(build.router_trainer)
    encoder_tuner = providers.Factory(
        build.router_encoder_tuner,
        Gateways.config.experiment.encoders,
        model_cache=Gateways.config.environment.model_cache,
    )
    routers = providers.Factory(build.routers)
    baselines = providers.Factory(build.router_baselines)


class RoutingServices(containers.DeclarativeContainer):
    """The use cases over the adapters."""

    config = providers.Configuration(strict=True)
    gateways = providers.DependenciesContainer()

    guard = providers.Factory(GuardExperiment, runs=gateways.runs)
    read = providers.Factory(ReadAnswers, source=gateways.answers, spool=gateways.spool, runs=gateways.runs)
    load = providers.Factory(
        LoadAnswers,
        spool=gateways.spool,
        runs=gateways.runs,
        tie_below=config.experiment.dataset.tie_below,
        bad_below=config.experiment.dataset.bad_below,
    )
    extract = providers.Factory(
        ExtractEmbeddings, store=gateways.store, executor=gateways.executor, progress=gateways.progress
    )
    extract_parts = providers.Factory(ExtractParts, extract=extract, runs=gateways.runs)
    gather = providers.Factory(GatherEmbeddings, store=gateways.store, spool=gateways.spool)
    train = providers.Factory(
        TrainRouter,
        trainer=gateways.router_trainer,
        runs=gateways.runs,
        track=gateways.tracker.provider,
        progress=gateways.progress,
    )
    tune_encoder = providers.Factory(
        TuneRouterEncoder,
        tuner=gateways.encoder_tuner,
        runs=gateways.runs,
        track=gateways.tracker.provider,
        progress=gateways.progress,
    )
    evaluate = providers.Factory(EvaluateRouter, runs=gateways.runs)
    route = providers.Factory(RoutePrompts, runs=gateways.runs)
    extend = providers.Factory(ExtendRouter, runs=gateways.runs)
    embed = providers.Factory(EmbedPrompts, gather=gather, spool=gateways.spool)
    measure_cold_start = providers.Factory(MeasureColdStart, gather=gather, load=load)
    add_model = providers.Factory(
        AddModel,
        runs=gateways.runs,
        routers=gateways.routers,
        extend=extend,
        embed=embed,
        measure=measure_cold_start,
        load=load,
    )


class RoutingApplication(containers.DeclarativeContainer):
    """Everything."""

    config = providers.Configuration(strict=True)
    gateways = providers.Container(RoutingGateways, config=config)
    services = providers.Container(RoutingServices, config=config, gateways=gateways)

"""The composition root: which adapter stands behind each port, chosen by the experiment."""

from __future__ import annotations

from dependency_injector import containers, providers

from fusionapp.application.services.classify_texts import ClassifyTexts
from fusionapp.application.services.compare_runs import CompareRuns
from fusionapp.application.services.evaluate_classifier import EvaluateClassifier
from fusionapp.application.services.explain_classifier import ExplainClassifier
from fusionapp.application.services.explain_retraining import ExplainRetraining
from fusionapp.application.services.export_classifier import ExportClassifier
from fusionapp.application.services.export_embeddings import ExportEmbeddings
from fusionapp.application.services.export_encoder import ExportEncoder
from fusionapp.application.services.export_text_classifier import ExportTextClassifier
from fusionapp.application.services.extract_dataset import ExtractDataset
from fusionapp.application.services.extract_embeddings import ExtractEmbeddings
from fusionapp.application.services.fit_linear_path import FitLinearPath
from fusionapp.application.services.gather_embeddings import GatherEmbeddings
from fusionapp.application.services.guard_experiment import GuardExperiment
from fusionapp.application.services.plan_extraction import PlanExtraction
from fusionapp.application.services.prepare_classification import PrepareClassification
from fusionapp.application.services.read_splits import ReadSplits
from fusionapp.application.services.report_status import ReportStatus
from fusionapp.application.services.run_controls import RunControls
from fusionapp.application.services.score_heads import ScoreHeads
from fusionapp.application.services.score_linear import ScoreLinearControl
from fusionapp.application.services.search_recipe import SearchRecipe
from fusionapp.application.services.train_classifier import TrainClassifier
from fusionapp.application.services.try_settings import TrySettings
from fusionapp.application.services.tune_classifier import TuneClassifier
from fusionapp.application.services.verify_embeddings import VerifyEmbeddings
from fusionapp.application.services.write_explanation import WriteExplanation
from fusionapp.entrypoints import gateways as build


class Gateways(containers.DeclarativeContainer):
    """The adapters. `config` holds the experiment and `runs`, `run`, `quiet` and the environment beside it."""

    config = providers.Configuration(strict=True)

    progress = providers.Singleton(build.terminal_progress, config.quiet)
    source = providers.Selector(
        config.experiment.dataset.source,
        files=providers.Factory(build.file_source, config.experiment.dataset),
        huggingface=providers.Factory(
            build.hub_source, config.experiment.dataset, data_dir=config.environment.data
        ),
        docstrings=providers.Factory(build.docstring_source, config.experiment.dataset),
    )
    encoder = providers.FactoryAggregate(
        huggingface=providers.Factory(build.huggingface_encoder, model_cache=config.environment.model_cache),
        sentence_transformers=providers.Factory(
            build.pipeline_encoder, model_cache=config.environment.model_cache
        ),
        onnx=providers.Factory(build.onnx_encoder),
        openai=providers.Factory(build.openai_encoder),
        lexical=providers.Factory(build.lexical_encoder),
        imported=providers.Factory(build.imported_encoder),
    )
    open_exported = providers.Object(build.exported_encoder)
    store = providers.Singleton(
        build.embedding_store, config.experiment.storage.root, config.experiment.storage.adapter
    )
    executor = providers.Selector(
        config.experiment.extract.executor,
        local=providers.Singleton(build.local_executor),
        processes=providers.Singleton(
            build.process_executor, config.experiment.extract.workers, config.experiment.extract.patience
        ),
        ray=providers.Singleton(
            build.ray_executor,
            config.experiment.extract.workers,
            config.experiment.extract.ray_address,
            config.experiment.extract.patience,
        ),
    )
    runs = providers.Singleton(build.run_directory, config.run)
    spool = providers.Singleton(build.arrow_spool, config.spool)
    trainer = providers.Singleton(build.torch_trainer)
    classifier_tuner = providers.Singleton(
        build.classifier_tuner, config.experiment.encoders, model_cache=config.environment.model_cache
    )
    scorer = providers.Singleton(build.torch_scorer, config.experiment.train.device)
    inspector = providers.Singleton(build.torch_inspector, config.experiment.train.device)
    head_exporter = providers.Singleton(build.onnx_head_exporter)
    text_classifier_exporter = providers.Singleton(build.onnx_text_classifier_exporter)
    linear = providers.Singleton(build.linear_control)
    linear_path = providers.Singleton(build.linear_path)
    charts = providers.Singleton(build.svg_charts)
    tracker = providers.Factory(build.trackers, config.run)
    sampler = providers.Factory(build.trial_sampler)
    scratch = providers.Factory(build.scratch_directory)
    silence = providers.Factory(build.silent_tracker)


class Services(containers.DeclarativeContainer):
    """The use cases over the adapters."""

    config = providers.Configuration(strict=True)
    gateways = providers.DependenciesContainer()

    guard = providers.Factory(GuardExperiment, runs=gateways.runs)
    read = providers.Factory(
        ReadSplits,
        source=gateways.source,
        spool=gateways.spool,
        text_column=config.experiment.dataset.text.as_(build.column_names),
    )
    extract = providers.Factory(
        ExtractEmbeddings, store=gateways.store, executor=gateways.executor, progress=gateways.progress
    )
    extract_dataset = providers.Factory(ExtractDataset, read=read, extract=extract, runs=gateways.runs)
    plan = providers.Factory(PlanExtraction, read=read, store=gateways.store)
    status = providers.Factory(ReportStatus, store=gateways.store)
    verify = providers.Factory(VerifyEmbeddings, store=gateways.store)
    export = providers.Factory(ExportEmbeddings, store=gateways.store, spool=gateways.spool)
    export_classifier = providers.Factory(
        ExportClassifier,
        store=gateways.store,
        scorer=gateways.scorer,
        path=gateways.linear_path,
        exporter=gateways.head_exporter,
    )
    export_encoder = providers.Factory(ExportEncoder, open=gateways.open_exported)
    gather = providers.Factory(GatherEmbeddings, store=gateways.store, spool=gateways.spool)
    prepare = providers.Factory(
        PrepareClassification,
        validation_fraction=config.experiment.train.validation_fraction,
        seed=config.experiment.seed,
        label_column=config.experiment.dataset.label,
    )
    fit_path = providers.Factory(FitLinearPath, path=gateways.linear_path, progress=gateways.progress)
    train = providers.Factory(
        TrainClassifier,
        trainer=gateways.trainer,
        fit_path=fit_path,
        runs=gateways.runs,
        track=gateways.tracker.provider,
        progress=gateways.progress,
    )
    tune = providers.Factory(
        TuneClassifier,
        tuner=gateways.classifier_tuner,
        fit_path=fit_path,
        runs=gateways.runs,
        track=gateways.tracker.provider,
        progress=gateways.progress,
    )
    attempt = providers.Factory(
        TrySettings,
        trainer=gateways.trainer,
        scorer=gateways.scorer,
        fit_path=fit_path,
        scratch=gateways.scratch.provider,
        tracker=gateways.silence,
        progress=gateways.progress,
    )
    search = providers.Factory(
        SearchRecipe,
        attempt=attempt,
        sampler=gateways.sampler,
        runs=gateways.runs,
        progress=gateways.progress,
    )
    score = providers.Factory(
        ScoreHeads, scorer=gateways.scorer, path=gateways.linear_path, runs=gateways.runs
    )
    controls = providers.Factory(
        RunControls, train=train, score=score, linear=gateways.linear, progress=gateways.progress
    )
    evaluate = providers.Factory(EvaluateClassifier, score=score, controls=controls, runs=gateways.runs)
    classify = providers.Factory(ClassifyTexts, scorer=gateways.scorer, path=gateways.linear_path)
    export_text_classifier = providers.Factory(
        ExportTextClassifier,
        classify=classify,
        export_encoder=export_encoder,
        heads=gateways.head_exporter,
        exporter=gateways.text_classifier_exporter,
    )
    compare = providers.Factory(CompareRuns)
    explain = providers.Factory(
        ExplainClassifier,
        inspector=gateways.inspector,
        path=gateways.linear_path,
        spool=gateways.spool,
        runs=gateways.runs,
    )
    explain_retraining = providers.Factory(ExplainRetraining, train=train, score=score)
    write_explanation = providers.Factory(WriteExplanation, runs=gateways.runs)
    score_linear = providers.Factory(
        ScoreLinearControl, linear=gateways.linear, runs=gateways.runs, progress=gateways.progress
    )


class Application(containers.DeclarativeContainer):
    """Everything."""

    config = providers.Configuration(strict=True)
    gateways = providers.Container(Gateways, config=config)
    services = providers.Container(Services, config=config, gateways=gateways)

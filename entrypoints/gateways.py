"""Building adapters from settings, each importing its technology only when it is built."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from fusionapp.application.ports.charts import Charts
from fusionapp.application.ports.classifier_tuner import ClassifierTuner
from fusionapp.application.ports.dataset_source import DatasetSource
from fusionapp.application.ports.embedding_store import EmbeddingStore
from fusionapp.application.ports.encoder import Encoder
from fusionapp.application.ports.encoder_exporter import EncoderExporter
from fusionapp.application.ports.executor import Executor
from fusionapp.application.ports.head_exporter import HeadExporter
from fusionapp.application.ports.head_inspector import HeadInspector
from fusionapp.application.ports.heads import HeadScorer, HeadTrainer
from fusionapp.application.ports.linear_control import LinearControl
from fusionapp.application.ports.linear_path import LinearPath
from fusionapp.application.ports.progress import Progress
from fusionapp.application.ports.run_store import RunStore
from fusionapp.application.ports.spool import Spool
from fusionapp.application.ports.text_classifier_exporter import TextClassifierExporter
from fusionapp.application.ports.tracker import Tracker
from fusionapp.application.ports.trial_sampler import TrialSampler
from fusionapp.domain.errors import UsageError
from fusionapp.entrypoints.experiment.schema import STORES
from fusionapp.entrypoints.plugins import load_store
from fusionapp.entrypoints.tunable_encoders import open_tunable

SPLITS = ("train", "validation", "test")
TEXTS = "texts"
"""The one split of a dataset without labels."""


def column_names(columns: str | list[str]) -> str:
    """One or several columns, for messages."""
    return columns if isinstance(columns, str) else ", ".join(columns)


def file_source(dataset: dict[str, Any], **_: Any) -> DatasetSource:
    """Labelled texts from files, or texts alone."""
    from pathlib import Path

    from fusionapp.adapters.files.source import FileDatasetSource

    names = dataset["class_names"]
    alone = dataset["texts"] is not None
    return FileDatasetSource(
        {split: dataset[split] for split in (*SPLITS, TEXTS) if dataset[split] is not None},
        text=dataset["text"],
        label=None if alone else dataset["label"],
        id=dataset["id"] or None,
        template=dataset["template"],
        class_names=Path(names) if isinstance(names, str) else names,
    )


def hub_source(dataset: dict[str, Any], data_dir: str | None = None) -> DatasetSource:
    """Labelled texts through the `datasets` library."""
    from fusionapp.adapters.hub_datasets.source import HubDatasetSource

    names = dataset["class_names"]
    if isinstance(names, str):
        from fusionapp.adapters.files.class_names import read_class_names

        names = read_class_names(names)
    return HubDatasetSource(
        dataset["name"],
        text=dataset["text"],
        label=dataset["label"],
        id=dataset["id"] or None,
        template=dataset["template"],
        class_names=names,
        config=dataset["config"],
        revision=dataset["revision"],
        data_dir=data_dir,
    )


def docstring_source(dataset: dict[str, Any], **_: Any) -> DatasetSource:
    """Docstrings of the installed packages."""
    return _docstrings(tuple(dataset["packages"]))


@cache
def _docstrings(packages: tuple[str, ...]) -> DatasetSource:
    """Parsed once a process: installed packages do not change under it, and the demo reads them often."""
    from fusionapp.adapters.docstrings.source import DocstringSource

    return DocstringSource(packages=packages or None)


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    """An encoder's own arguments; which adapter it is, and what stands before queries, is settled by now."""
    return {key: value for key, value in settings.items() if key not in ("adapter", "query_prefix")}


def huggingface_encoder(
    settings: dict[str, Any], model_cache: str | None, token_folder: str | None = None
) -> Encoder:
    """A transformer from a hub or a directory."""
    from fusionapp.adapters.huggingface.encoder import HuggingFaceEncoder

    plain = _plain(settings)
    if isinstance(plain["layers"], list):
        plain["layers"] = tuple(plain["layers"])
    return HuggingFaceEncoder(**plain, cache_dir=model_cache, token_folder=token_folder)


def pipeline_encoder(settings: dict[str, Any], model_cache: str | None) -> Encoder:
    """A saved sentence-transformers pipeline."""
    from fusionapp.adapters.sentence_transformers.encoder import SentenceTransformersEncoder

    plain = _plain(settings)
    return SentenceTransformersEncoder(**plain, cache_dir=model_cache)


def onnx_encoder(settings: dict[str, Any], **_: Any) -> Encoder:
    """An exported graph."""
    from fusionapp.adapters.machine.onnx_providers import choose_providers
    from fusionapp.adapters.onnx.encoder import OnnxEncoder

    plain = _plain(settings)
    return OnnxEncoder(**plain, choose_providers=choose_providers)


def exported_encoder(directory: str) -> Encoder:
    """An exported graph on the CPU, to be held to the encoder that it was made of."""
    return onnx_encoder({"model": directory, "device": "cpu"})


def onnx_encoder_exporter(settings: dict[str, Any], source: str, model_cache: str | None) -> EncoderExporter:
    """Transformers as ONNX; `source` is the fingerprint of the encoder of these settings in float32."""
    from fusionapp.adapters.huggingface.decisions import Wishes
    from fusionapp.adapters.huggingface.onnx_exporter import OnnxEncoderExporter

    layers = settings["layers"]
    wishes = Wishes(
        layers="all" if layers == "all" else tuple(layers),
        pooling=settings["pooling"],
        prefix=settings["prefix"],
        max_length=settings["max_length"],
        normalize=settings["normalize"],
    )
    return OnnxEncoderExporter(settings["model"], wishes, source, settings["revision"], model_cache)


def openai_encoder(settings: dict[str, Any], **_: Any) -> Encoder:
    """A model behind a server."""
    from fusionapp.adapters.openai_compatible.encoder import OpenAIEncoder

    return OpenAIEncoder(**_plain(settings))


def lexical_encoder(settings: dict[str, Any], **_: Any) -> Encoder:
    """Hashed n-grams."""
    from fusionapp.adapters.lexical.encoder import LexicalEncoder

    return LexicalEncoder(
        word_ngrams=tuple(settings["word_ngrams"]),
        char_ngrams=tuple(settings["char_ngrams"]),
        dim=settings["dim"],
    )


def local_executor() -> Executor:
    """Encoders in this process."""
    from fusionapp.adapters.executors.local import LocalExecutor

    return LocalExecutor()


def process_executor(workers: int | None, patience: float) -> Executor:
    """Encoders in several processes; `patience` in minutes."""
    from fusionapp.adapters.executors.processes import ProcessExecutor

    return ProcessExecutor(workers, patience * 60)


def ray_executor(workers: int | None, address: str | None, patience: float) -> Executor:
    """Encoders on a Ray cluster; `patience` in minutes."""
    from fusionapp.adapters.executors.ray_actors import RayExecutor

    return RayExecutor(workers, address, patience * 60)


def imported_encoder(settings: dict[str, Any], **_: Any) -> Encoder:
    """Vectors that were made elsewhere."""
    from fusionapp.adapters.imported.encoder import ImportedEncoder

    files = {split: settings[split] for split in SPLITS if settings[split] is not None}
    return ImportedEncoder(files, settings["model"])


def embedding_store(root: str, adapter: str) -> EmbeddingStore:
    """Embeddings in files, or in the store of another package."""
    if adapter not in STORES:
        store: EmbeddingStore = load_store(adapter)(root)
        return store
    from fusionapp.adapters.filesystem.store import FileEmbeddingStore

    return FileEmbeddingStore(root, adapter)


def arrow_spool(directory: str) -> Spool:
    """The input beside the run."""
    from fusionapp.adapters.filesystem.spool import ArrowSpool

    return ArrowSpool(directory)


def run_directory(directory: str) -> RunStore:
    """The run directory."""
    from fusionapp.adapters.filesystem.run_directory import RunDirectory

    return RunDirectory(directory)


def torch_trainer() -> HeadTrainer:
    """Stacked head training in torch."""
    from fusionapp.adapters.torch_heads.trainer import TorchHeadTrainer

    return TorchHeadTrainer()


def classifier_tuner(encoders: dict[str, dict[str, Any]], model_cache: str | None) -> ClassifierTuner:
    """Heads in torch, tuned together with any of these transformers."""
    from fusionapp.adapters.torch_heads.tuner import TorchClassifierTuner

    return TorchClassifierTuner(open_tunable(encoders, model_cache))


def torch_scorer(device: str) -> HeadScorer:
    """Saved heads in torch."""
    from fusionapp.adapters.torch_heads.scorer import TorchHeadScorer

    return TorchHeadScorer(device)


def onnx_head_exporter() -> HeadExporter:
    """Saved heads as ONNX."""
    from fusionapp.adapters.torch_heads.onnx_exporter import OnnxHeadExporter

    return OnnxHeadExporter()


def onnx_text_classifier_exporter() -> TextClassifierExporter:
    """Encoders and heads as one ONNX graph."""
    from fusionapp.adapters.onnx.text_classifier import OnnxTextClassifierExporter

    return OnnxTextClassifierExporter()


def linear_control() -> LinearControl:
    """Tuned linear models."""
    from fusionapp.adapters.linear.control import ScipyLinearControl

    return ScipyLinearControl()


def trial_sampler() -> TrialSampler:
    """What `train --search` tries next."""
    from fusionapp.adapters.optuna_search.sampler import OptunaSampler

    return OptunaSampler()


@contextmanager
def scratch_directory() -> Iterator[str]:
    """A directory that is gone when it is left."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(prefix="fusionapp-") as directory:
        yield directory


def silent_tracker() -> Tracker:
    """A tracker of what nobody follows."""
    from fusionapp.adapters.tracking.fan_out import FanOutTracker

    return FanOutTracker([])


@cache
def linear_path() -> LinearPath:
    """Linear models that heads add to, fitted once a process for all heads that add to the same."""
    from fusionapp.adapters.linear.remembered import RememberedLinearPath

    return RememberedLinearPath()


def torch_inspector(device: str) -> HeadInspector:
    """A look into saved heads in torch."""
    from fusionapp.adapters.torch_heads.inspection import TorchHeadInspector

    return TorchHeadInspector(device)


def svg_charts() -> Charts:
    """Charts by matplotlib."""
    from fusionapp.adapters.charts.matplotlib_charts import MatplotlibCharts

    return MatplotlibCharts()


def trackers(directory: str, group: str) -> Tracker:
    """A history file in the group's directory, begun anew, and TensorBoard where it is installed."""
    from pathlib import Path

    from fusionapp.adapters.tracking.fan_out import FanOutTracker
    from fusionapp.adapters.tracking.history import HistoryTracker

    history = Path(directory, group, "history.jsonl")
    history.unlink(missing_ok=True)
    chosen: list[Tracker] = [HistoryTracker(history)]
    try:
        from fusionapp.adapters.tracking.tensorboard import TensorBoardTracker

        # Below the group, whose files are hashed once training ends, so that `verify` covers the curves too.
        chosen.append(TensorBoardTracker(Path(directory, group, "tensorboard")))
    except UsageError:  # the extra `track` is not installed; the history file has the same numbers
        pass
    return FanOutTracker(chosen)


def terminal_progress(quiet: bool) -> Progress:
    """Bars where a person watches."""
    from fusionapp.adapters.console.progress import choose_progress

    return choose_progress(quiet)

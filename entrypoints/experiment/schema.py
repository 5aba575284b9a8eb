"""Every key of an experiment, with its type, default and meaning."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Literal

import attrs
from attrs.validators import and_, deep_iterable, ge, gt, le, matches_re, min_len, optional

from fusionapp.domain.fusion.spec import FusionSpec
from fusionapp.domain.recipe import TrainingRecipe
from fusionapp.domain.settings import setting
from fusionapp.entrypoints.experiment.encoder_tables import (
    EncoderSettings,
    HuggingFaceSettings,
    encoder_problems,
    source_problems,
)
from fusionapp.entrypoints.experiment.names import NAME_PATTERN
from fusionapp.entrypoints.plugins import STORES as STORE_PLUGINS, plugin_names

STORES = ("npy", "parquet")


@attrs.frozen
class TaskSettings:
    """The ``[task]`` table."""

    kind: Literal["classify"] = setting("what is trained: a classifier over fused embeddings", "classify")


@attrs.frozen
class DatasetSettings:
    """The ``[dataset]`` table."""

    source: Literal["files", "huggingface", "docstrings"] = setting("where labelled texts come from", "files")
    train: str | tuple[str, ...] | None = setting("files: path or paths of the training split", None)
    validation: str | tuple[str, ...] | None = setting(
        "files: path or paths of the validation split; absent: a stratified part of train", None
    )
    test: str | tuple[str, ...] | None = setting("files: path or paths of the test split", None)
    texts: str | tuple[str, ...] | None = setting(
        "files: path or paths of texts without labels, for `extract` alone; takes the place of the three",
        None,
    )
    name: str | None = setting(
        "huggingface: a DatasetDict directory, its name under DATA_DIR, or a hub name", None
    )
    config: str | None = setting("huggingface: the hub dataset's configuration", None)
    revision: str | None = setting("huggingface: the hub dataset's revision", None)
    packages: tuple[str, ...] = setting(
        "docstrings: packages beside the standard library; default: the 16 largest that are installed", ()
    )
    text: str | tuple[str, ...] = setting("text column, or several joined by `template`", "text")
    template: str | None = setting('how several text columns join, such as "{title}. {abstract}"', None)
    label: str = setting("label column; strings or integers", "label")
    id: tuple[str, ...] = setting("id columns that travel into every output; default: the row number", ())
    class_names: str | tuple[str, ...] | None = setting(
        "names of integer labels: a list in label order, or a file that lists them", None
    )
    drop_duplicates: bool = setting(
        "remove from train the texts that stand in validation or test as well", False
    )
    folds: int | None = setting(
        "k-fold cross-validation: train and validation are pooled, each of so many stratified folds is test once, "
        "and train.validation_fraction of the other rows is for choosing; rows of one text stay together, and a "
        "test split is left alone",
        None,
        optional(ge(2)),
    )
    shots: int | None = setting(
        "few-shot: so many rows of each class are drawn from train, train.validation_fraction of them (at least "
        "one a class) for choosing; every draw is scored on test, and a validation split is left alone",
        None,
        optional(ge(2)),
    )
    draws: int = setting("few-shot: how many draws, draw i seeded by (seed, i)", 10, ge(2))


@attrs.frozen
class StorageSettings:
    """The ``[storage]`` table."""

    adapter: str = setting("npy or parquet files of stored embeddings, or a store of another package", "npy")
    root: str = setting("directory of stored embeddings, shared by experiments", "embeddings")
    shard_rows: int = setting(
        "texts in a shard, the unit that is written and resumed", 2048, and_(ge(1), le(sys.maxsize))
    )


@attrs.frozen
class ExtractSettings:
    """The ``[extract]`` table."""

    executor: Literal["local", "processes", "ray"] = setting(
        "where encoders run: in this process, in several on this machine, or on a Ray cluster", "local"
    )
    workers: int | None = setting(
        "processes or ray: how many; default: one a GPU, else two processes, or up to four of the cluster's CPUs",
        None,
        optional(ge(1)),
    )
    ray_address: str | None = setting(
        'ray: an existing cluster such as "auto"; default: RAY_ADDRESS, else one on this machine for the run',
        None,
    )
    patience: float = setting(
        "processes or ray: minutes without a finished batch after which a worker is taken to hang; it is replaced "
        "once, then the run ends",
        60.0,
        ge(0.1),
    )


@attrs.frozen
class EvaluateSettings:
    """The ``[evaluate]`` table."""

    baselines: bool = setting(
        "train the controls: each source alone, plain concatenation, and tuned linear models", True
    )
    draws: int = setting("bootstrap draws over test examples", 10_000, ge(100))
    costs: tuple[float, ...] = setting(
        "C values of the linear controls, chosen on validation",
        (0.1, 0.3, 1.0, 3.0, 10.0),
        and_(min_len(1), deep_iterable(gt(0.0))),
    )


@attrs.frozen
class Experiment:
    """One experiment, whole: what an experiment file, a dict or `fusionapp.Experiment` describes."""

    name: str = setting(
        "names the run directory runs/NAME",
        "experiment",
        matches_re(re.compile(NAME_PATTERN), func=re.fullmatch),
    )
    seed: int = setting("first seed", 0, ge(0))
    task: TaskSettings = setting("the task", TaskSettings)
    dataset: DatasetSettings = setting("the labelled texts", DatasetSettings)
    encoders: Mapping[str, EncoderSettings] = setting("the encoders by name, in fusion order", dict)
    storage: StorageSettings = setting("where embeddings are kept", StorageSettings)
    extract: ExtractSettings = setting("where encoders run", ExtractSettings)
    fusion: FusionSpec = setting("how sources become one vector", FusionSpec)
    train: TrainingRecipe = setting("how heads are trained", TrainingRecipe)
    evaluate: EvaluateSettings = setting("how results are judged", EvaluateSettings)

    def problems(self) -> list[str]:
        """What does not go together across keys, one line each, starting with the key's path."""
        found = self.fusion.problems()
        if not self.encoders:
            found.append(
                'encoders: none is named; add a table such as [encoders.minilm] with model = "minilm"'
            )
        found += storage_problems(self.storage)
        for name, encoder in self.encoders.items():
            found += encoder_problems(name, encoder)
            if getattr(encoder, "query_prefix", None) is not None:
                found.append(f"encoders.{name}.query_prefix: is for a search's queries; use prefix")
        for name, source in self.train.sources.items() if self.encoders else ():
            found += source_problems(name, source, self.encoders)
        return found + _dataset_problems(self.dataset) + tuning_problems(self)

    @property
    def tuned_encoders(self) -> list[str]:
        """The encoders that are tuned, in file order."""
        asked = self.train.tune_encoders
        if isinstance(asked, tuple):
            return [name for name in self.encoders if name in asked]
        return [name for name, one in self.encoders.items() if asked and is_tunable(one)]


def is_tunable(encoder: EncoderSettings) -> bool:
    """Whether an encoder's weights can be trained here."""
    return isinstance(encoder, HuggingFaceSettings)


def tuning_problems(experiment: Experiment) -> list[str]:
    """What does not go together with ``train.tune_encoders``."""
    asked = experiment.train.tune_encoders
    if asked is False:
        return []
    key, encoders = "train.tune_encoders", experiment.encoders
    found = []
    for name in asked if isinstance(asked, tuple) else ():
        if name not in encoders:
            found.append(f"{key}: there is no encoder {name!r}; known are {', '.join(encoders)}")
        elif not is_tunable(encoders[name]):
            found.append(
                f'{key}: encoder {name!r} has no weights to tune; name one of adapter = "huggingface"'
            )
    if not found and encoders and not experiment.tuned_encoders:
        found.append(f'{key}: no encoder is of adapter = "huggingface"; add one, or set it to false')
    for name in experiment.tuned_encoders:
        encoder = encoders[name]
        found += _untunable(name, encoder) if isinstance(encoder, HuggingFaceSettings) else []
    dataset = experiment.dataset
    for protocol in ("folds", "shots"):
        if getattr(dataset, protocol) is not None:
            found.append(f"{key}: does not go with dataset.{protocol}; leave one of them out")
    if dataset.texts is not None:
        found.append(f"{key}: texts without labels train nothing; set it to false")
    return found


def _untunable(name: str, encoder: HuggingFaceSettings) -> list[str]:
    """Settings of a transformer whose embeddings no trained weights give."""
    reasons = {
        "quantization": (
            encoder.quantization != "none",
            'tuned weights are whole; leave it out, and use train.finetuning.method = "qlora"',
        ),
        "on_truncate": (
            encoder.on_truncate == "chunk",
            "tuning reads a text's first tokens, not its windows",
        ),
        "trust_remote_code": (encoder.trust_remote_code, "tuning runs no code of a model's own"),
    }
    return [
        f"encoders.{name}.{key}: does not go with train.tune_encoders: {why}"
        for key, (asked, why) in reasons.items()
        if asked
    ]


def storage_problems(storage: StorageSettings) -> list[str]:
    """A store that is not known."""
    stores = (*STORES, *plugin_names(STORE_PLUGINS))
    if storage.adapter in stores:
        return []
    known = ", ".join(map(repr, stores))
    return [f"storage.adapter: expected one of {known}, got {storage.adapter!r}"]


def _dataset_problems(dataset: DatasetSettings) -> list[str]:
    found = []
    splits = [split for split in ("train", "validation", "test") if getattr(dataset, split) is not None]
    if dataset.texts is not None and (splits or dataset.source != "files"):
        other = " and ".join(f"dataset.{split}" for split in splits) or f'dataset.source = "{dataset.source}"'
        found.append(f"dataset.texts: does not go with {other}; leave one of them out")
    if dataset.source == "files" and dataset.train is None and dataset.texts is None:
        found.append('dataset.train: missing; name the training file, such as train = "train.csv"')
    if dataset.source == "huggingface" and dataset.name is None:
        found.append("dataset.name: missing; name a DatasetDict directory or a hub dataset")
    if dataset.template is not None and isinstance(dataset.text, str):
        found.append("dataset.template: needs `text` to list the columns that it joins")
    if dataset.folds is not None and dataset.shots is not None:
        found.append("dataset.shots: does not go with dataset.folds; choose one of the two protocols")
    if dataset.shots is not None and dataset.source == "files" and dataset.test is None:
        found.append('dataset.shots: draws are scored on a test split; name one, such as test = "test.csv"')
    return found

"""Every key of a routing experiment; tables that a classification shares are those of `experiment.schema`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

import attrs
from attrs.validators import and_, ge, gt, le, lt, matches_re, optional

from fusionapp.domain.routing.recipe import RouterRecipe
from fusionapp.domain.settings import setting
from fusionapp.entrypoints.experiment.encoder_tables import (
    EncoderSettings,
    HuggingFaceSettings,
    encoder_problems,
)
from fusionapp.entrypoints.experiment.names import NAME_PATTERN
from fusionapp.entrypoints.experiment.schema import ExtractSettings, StorageSettings, storage_problems


@attrs.frozen
class RouteTask:
    """The ``[task]`` table."""

    kind: Literal["route"] = setting("what is trained: a router from prompts to models", "route")


@attrs.frozen
class AnswerSettings:
    """The ``[dataset]`` table of prompts with what is known of models' answers."""

    source: Literal["files", "huggingface"] = setting("where answers come from", "files")
    train: str | tuple[str, ...] | None = setting("files: path or paths of the training prompts", None)
    validation: str | tuple[str, ...] | None = setting(
        "files: path or paths of the validation prompts; absent: a part of train", None
    )
    test: str | tuple[str, ...] | None = setting(
        "files: path or paths of the test prompts; absent: a part of train", None
    )
    name: str | None = setting(
        "huggingface: a DatasetDict directory, its name under DATA_DIR, or a hub name", None
    )
    config: str | None = setting("huggingface: the hub dataset's configuration", None)
    revision: str | None = setting("huggingface: the hub dataset's revision", None)
    layout: Literal["auto", "mapping", "wide", "long", "battles"] = setting(
        "mapping: a column of scores by model; wide: a column a model; long: a row for each answer; battles: "
        "two models and a winner; auto: by the columns that there are",
        "auto",
    )
    prompt: str | None = setting('column of the prompt; default: "prompt"', None)
    conversation: str | None = setting(
        "column of conversations instead, the first turn of whose user is the prompt", None
    )
    id: tuple[str, ...] = setting(
        "columns that name the prompt in what is kept; equal texts are one prompt whatever they say, and go by "
        "the first one's name",
        (),
    )
    task: str | None = setting('column of the task; default: "task" where there is one', None)
    scores: str | tuple[str, ...] | None = setting("column or columns of the scores, by layout", None)
    costs: str | tuple[str, ...] | None = setting("column or columns of costs in USD, by layout", None)
    latencies: str | tuple[str, ...] | None = setting("column or columns of seconds, by layout", None)
    tokens: str | tuple[str, ...] | None = setting("column or columns of the answers' tokens", None)
    prompt_tokens: str | None = setting("column of the prompt's tokens", None)
    model: str | None = setting("long: column of the model", None)
    model_a: str | None = setting("battles: column of the first model", None)
    model_b: str | None = setting("battles: column of the second model", None)
    winner: str | None = setting("battles: column of who won", None)
    score_range: tuple[float, float] = setting(
        "what scores run from and to; they are scaled to 0 and 1", (0.0, 1.0)
    )
    prices: str | None = setting(
        "JSON file of USD per million tokens by model (input_price_usd_per_mtok, output_price_usd_per_mtok)",
        None,
    )
    answer_tokens: float | None = setting(
        "tokens of an answer, for models of whose answers no tokens are known", 256.0, optional(gt(0.0))
    )
    test_fraction: float = setting(
        "part of the prompts taken for test by their hash, where the dataset names none",
        0.2,
        and_(ge(0.0), lt(1.0)),
    )
    validation_fraction: float = setting(
        "part of the prompts taken for validation, where the dataset names none", 0.1, and_(gt(0.0), le(0.5))
    )
    drop_duplicates: bool = setting(
        "leave prompts out of train that stand in another split as well, and out of validation those in any but "
        "train, rather than refuse them",
        False,
    )
    tie_below: float = setting("scores that differ by less are a tie in battles made of them", 0.0, ge(0.0))
    bad_below: float = setting("two scores that lie below are both bad in battles made of them", 0.0, ge(0.0))


@attrs.frozen
class PolicySettings:
    """The ``[policy]`` table: how `fusionapp route` chooses where the command line says nothing."""

    max_cost: float | None = setting("most USD for a prompt", None, optional(ge(0.0)))
    min_quality: float | None = setting(
        "the cheapest model of at least this calibrated success", None, optional(and_(ge(0.0), le(1.0)))
    )
    trade_off: float | None = setting("what a USD is worth in success", None, optional(ge(0.0)))
    fallback: str | None = setting(
        "model of prompts unlike those in train; default: they go as any other", None
    )
    familiar: float = setting(
        "share of train's own prompts that count as familiar", 0.99, and_(gt(0.0), lt(1.0))
    )


@attrs.frozen
class JudgeRouterSettings:
    """The ``[evaluate]`` table of a routing experiment."""

    baselines: bool = setting("judge the baseline routers and every single model as well", True)
    draws: int = setting(
        "bootstrap draws over prompts; hulls and calibration take 1,000 at most", 10_000, ge(100)
    )


@attrs.frozen
class RoutingExperiment:
    """One routing experiment, whole."""

    name: str = setting(
        "names the run directory runs/NAME",
        "experiment",
        matches_re(re.compile(NAME_PATTERN), func=re.fullmatch),
    )
    seed: int = setting("first seed", 0, ge(0))
    task: RouteTask = setting("the task", RouteTask)
    dataset: AnswerSettings = setting("the prompts and answers", AnswerSettings)
    encoders: Mapping[str, EncoderSettings] = setting("what embeds the prompts", dict)
    storage: StorageSettings = setting("where embeddings are kept", StorageSettings)
    extract: ExtractSettings = setting("where encoders run", ExtractSettings)
    train: RouterRecipe = setting("how the router is trained", RouterRecipe)
    policy: PolicySettings = setting("how it chooses", PolicySettings)
    evaluate: JudgeRouterSettings = setting("how it is judged", JudgeRouterSettings)

    def problems(self) -> list[str]:
        """What does not go together across keys, one line each, starting with the key's path."""
        found = storage_problems(self.storage)
        if not self.encoders:
            found.append(
                'encoders: none is named; add a table such as [encoders.minilm] with model = "minilm"'
            )
        for name, encoder in self.encoders.items():
            found += encoder_problems(name, encoder)
            if getattr(encoder, "query_prefix", None) is not None:
                found.append(f"encoders.{name}.query_prefix: is for a search's queries; use prefix")
        found += tuning_problems(self)
        dataset, policy = self.dataset, self.policy
        if dataset.source == "files" and dataset.train is None:
            found.append('dataset.train: missing; name the training prompts, such as train = "scores.jsonl"')
        if dataset.source == "huggingface" and dataset.name is None:
            found.append("dataset.name: missing; name a DatasetDict directory or a hub dataset")
        if dataset.score_range[0] >= dataset.score_range[1]:
            found.append(f"dataset.score_range: {list(dataset.score_range)} must rise, such as [0.0, 10.0]")
        if policy.min_quality is not None and policy.trade_off is not None:
            found.append("policy.trade_off: does not go with policy.min_quality; choose one of the two")
        return found

    @property
    def tuned_encoder(self) -> str | None:
        """The encoder that `train.tune_encoder` is about: the first transformer."""
        names = (name for name, one in self.encoders.items() if isinstance(one, HuggingFaceSettings))
        return next(names, None)


def tuning_problems(experiment: RoutingExperiment) -> list[str]:
    """What does not go together with ``train.tune_encoder``."""
    recipe, name = experiment.train, experiment.tuned_encoder
    if not recipe.tune_encoder:
        return []
    found = []
    if recipe.tuning_learning_rate is not None and recipe.tuning.learning_rate is not None:
        found.append("train.tuning_learning_rate: is the same as train.tuning.learning_rate; leave one out")
    if name is None:
        found.append(
            'train.tune_encoder: no encoder is of adapter = "huggingface"; add one, or set it to false'
        )
        return found
    encoder = experiment.encoders[name]
    assert isinstance(encoder, HuggingFaceSettings)
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
    return found + [
        f"encoders.{name}.{key}: does not go with train.tune_encoder: {why}"
        for key, (asked, why) in reasons.items()
        if asked
    ]

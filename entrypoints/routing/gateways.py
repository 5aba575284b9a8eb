"""Building the adapters that routing alone needs, each importing its technology only when it is built."""

from __future__ import annotations

from typing import Any

from fusionapp.application.ports.answer_source import AnswerSource
from fusionapp.application.ports.router import RouterBaselines, Routers, RouterTrainer
from fusionapp.application.ports.router_tuner import RouterEncoderTuner
from fusionapp.application.services.read_probes import PROBES
from fusionapp.domain.routing.answer_columns import AnswerColumns, answer_columns
from fusionapp.domain.routing.prices import Prices
from fusionapp.entrypoints.gateways import SPLITS
from fusionapp.entrypoints.tunable_encoders import open_tunable

COLUMNS = (
    "prompt",
    "conversation",
    "id",
    "task",
    "prompt_tokens",
    "scores",
    "costs",
    "latencies",
    "tokens",
    "model",
    "model_a",
    "model_b",
    "winner",
    "score_range",
)


def file_answers(dataset: dict[str, Any]) -> AnswerSource:
    """Answers from files."""
    from fusionapp.adapters.files.answers import FileAnswerSource

    splits = {split: dataset[split] for split in SPLITS if dataset[split] is not None}
    return FileAnswerSource(splits, _columns(dataset))


def probe_answers(
    dataset: dict[str, Any],
    file: str,
    model: str,
    scores: str | None = None,
    text: str | None = None,
    score_range: tuple[float, float] | None = None,
) -> AnswerSource:
    """A new model's answers from a file whose columns are called as those of the run's dataset.

    Args:
        dataset: the run's ``[dataset]``.
        file: to be read.
        model: the new one's name.
        scores: a column of its scores alone.
        text: the prompts' column, where it is called otherwise.
        score_range: what its scores run from and to, where it is otherwise.
    """
    from fusionapp.adapters.files.answers import FileAnswerSource

    columns = _named(dataset)
    columns |= dict.fromkeys(("id", "task", "prompt_tokens", "model_a", "model_b", "winner"))
    # Where each of the dataset's models has a column that is called by it, so has this one.
    columns["scores"] = (model,) if isinstance(dataset["scores"], list | tuple) else columns["scores"]
    for key in ("costs", "latencies", "tokens"):
        columns[key] = columns[key] if isinstance(columns[key], str) else None
    if columns["layout"] == "battles":
        columns["layout"] = "auto"
    if scores is not None:
        columns |= dict.fromkeys(("costs", "latencies", "tokens", "model"))
        columns |= {"layout": "wide", "scores": (scores,)}
    if text is not None:
        columns |= {"prompt": text, "conversation": None}
    if score_range is not None:
        columns["score_range"] = score_range
    return FileAnswerSource({PROBES: file}, answer_columns(**columns))


def hub_answers(dataset: dict[str, Any], data_dir: str | None) -> AnswerSource:
    """Answers through the `datasets` library."""
    from fusionapp.adapters.hub_datasets.answers import HubAnswerSource

    return HubAnswerSource(
        dataset["name"],
        _columns(dataset),
        config=dataset["config"],
        revision=dataset["revision"],
        data_dir=data_dir,
    )


def read_prices(path: str | None) -> Prices | None:
    """Prices by model from a JSON file.

    Raises:
        DatasetError: it is missing, or no JSON object.
        UsageError: a price is missing or no number.
    """
    if path is None:
        return None
    from fusionapp.adapters.files.prices import read_prices as read

    return read(path)


def router_trainer() -> RouterTrainer:
    """Networks in torch over a base in numpy."""
    from fusionapp.adapters.routers.bases import StackBases
    from fusionapp.adapters.torch_routers.trainer import TorchRouterTrainer

    return TorchRouterTrainer(StackBases())


def router_encoder_tuner(encoders: dict[str, dict[str, Any]], model_cache: str | None) -> RouterEncoderTuner:
    """Networks in torch, tuned together with any of these transformers."""
    from fusionapp.adapters.torch_routers.tuner import TorchRouterEncoderTuner

    return TorchRouterEncoderTuner(open_tunable(encoders, model_cache))


def routers() -> Routers:
    """Saved routers."""
    from fusionapp.adapters.routers.bases import StackBases
    from fusionapp.adapters.torch_routers.opened import TorchRouters

    return TorchRouters(StackBases())


def router_baselines() -> RouterBaselines:
    """Routers to be held against."""
    from fusionapp.adapters.routers.baselines import NumpyBaselines

    return NumpyBaselines()


def _columns(dataset: dict[str, Any]) -> AnswerColumns:
    return answer_columns(**_named(dataset))


def _named(dataset: dict[str, Any]) -> dict[str, Any]:
    """The layout, and the columns that are named; an empty list of them names none."""
    return {"layout": dataset["layout"], **{key: dataset[key] or None for key in COLUMNS}}

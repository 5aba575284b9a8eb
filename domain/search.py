"""Which settings of a head a search may change, and between what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias, get_args

import attrs

from fusionapp.domain.embeddings import Json
from fusionapp.domain.errors import UsageError
from fusionapp.domain.fusion.spec import FusionKind, FusionSpec
from fusionapp.domain.recipe import TrainingRecipe

Values: TypeAlias = Mapping[str, Json]
"""Settings by dotted key: ``{"train.learning_rate": 0.002, "train.hidden_dims": [512]}``."""


@attrs.frozen
class Span:
    """A number between two others.

    Attributes:
        key: the setting, such as "train.dropout".
        low: least value.
        high: largest value.
        log: whether steps are counted by factors.
    """

    key: str
    low: float
    high: float
    log: bool = False

    def holds(self, value: Json) -> bool:
        """Whether a value is one of these."""
        return isinstance(value, int | float) and self.low <= value <= self.high


@attrs.frozen
class Choice:
    """One of several values.

    Attributes:
        key: the setting.
        options: JSON values.
    """

    key: str
    options: tuple[Json, ...]

    def holds(self, value: Json) -> bool:
        """Whether a value is one of these."""
        return value in self.options


Parameter = Span | Choice


def head_space(
    fusion: FusionSpec, recipe: TrainingRecipe, rows: int, sources: int, sparse: bool, kinds: bool
) -> tuple[Parameter, ...]:
    """What is worth tuning in a head, around settings that are known to work; they are in the space themselves.

    Args:
        fusion: the experiment's own.
        recipe: the experiment's own.
        rows: training rows, which decide how many epochs "auto" is.
        sources: how many sources are fused.
        sparse: whether one of them is sparse, and so has an embedding bag.
        kinds: whether the kind of fusion is searched too.
    """
    epochs, _ = recipe.limits(rows)
    own = settings_of(fusion, recipe)
    space: list[Parameter] = [
        Span("train.learning_rate", 2e-4, 5e-3, log=True),
        Span("train.weight_decay", 1e-4, 0.3, log=True),
        Span("train.dropout", 0.0, 0.7),
        Span("train.input_dropout", 0.0, 0.7),
        Span("train.label_smoothing", 0.0, 0.3),
        Choice("train.hidden_dims", ([256], [512], [1024], [512, 256])),
        Choice("train.batch_size", (128, 256, 512)),
        Choice("train.epochs", (max(2, epochs // 2), 2 * epochs)),
    ]
    if (
        recipe.linear_path != "none"
    ):  # a search may do without the path, but not bring it where it is not wanted
        space.append(Choice("train.linear_path", ("none", recipe.linear_path)))
    if sources > 1:
        space.append(Span("train.source_dropout", 0.0, 0.4))
    if sparse:
        space.append(Choice("fusion.bag_width", (32, 64, 96, 128)))
    if recipe.metric == "macro_f1":
        space.append(Choice("train.class_weights", ("none", "balanced")))
    if kinds:
        space.append(Choice("fusion.kind", _kinds(fusion)))
    return tuple(_with(parameter, own[parameter.key]) for parameter in space)


def settings_of(fusion: FusionSpec, recipe: TrainingRecipe) -> dict[str, Json]:
    """Every setting by dotted key, tuples as lists."""
    return {
        f"{table}.{key}": list(value) if isinstance(value, tuple) else value
        for table, settings in (("fusion", fusion), ("train", recipe))
        for key, value in attrs.asdict(settings, recurse=False).items()
    }


def apply_values(
    values: Values, fusion: FusionSpec, recipe: TrainingRecipe
) -> tuple[FusionSpec, TrainingRecipe]:
    """Settings with some of them replaced.

    Raises:
        UsageError: a key that is neither of fusion nor of train.
    """
    tables: dict[str, dict[str, Any]] = {"fusion": {}, "train": {}}
    for key, value in values.items():
        table, _, name = key.partition(".")
        if table not in tables:
            raise UsageError(f"search: {key!r} is not a setting of fusion or train")
        tables[table][name] = tuple(value) if isinstance(value, list) else value
    return attrs.evolve(fusion, **tables["fusion"]), attrs.evolve(recipe, **tables["train"])


def _kinds(fusion: FusionSpec) -> tuple[str, ...]:
    """Kinds that go with the rest of the experiment's fusion."""
    kinds: tuple[FusionKind, ...] = get_args(FusionKind)
    return tuple(kind for kind in kinds if not attrs.evolve(fusion, kind=kind).problems())


def _with(parameter: Parameter, own: Json) -> Parameter:
    """The parameter, widened to hold the experiment's own value; a zero has no place on a log scale."""
    if isinstance(parameter, Choice):
        options = parameter.options if own in parameter.options else (own, *parameter.options)
        return attrs.evolve(parameter, options=options)
    if parameter.log and own <= 0:
        return parameter
    return attrs.evolve(parameter, low=min(parameter.low, own), high=max(parameter.high, own))

"""Opening an experiment's transformers to be tuned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fusionapp.domain.recipe import TrainingRecipe

if TYPE_CHECKING:
    from fusionapp.adapters.torch_shared.tunable import OpenTunable, TunableEncoder


def open_tunable(encoders: Mapping[str, Mapping[str, Any]], model_cache: str | None) -> OpenTunable:
    """What opens one of an experiment's transformers by its name, read as its table says.

    Args:
        encoders: the tables by name, as plain values.
        model_cache: the hub's cache.
    """

    def open_encoder(name: str, recipe: TrainingRecipe, seed: int) -> TunableEncoder:
        from fusionapp.adapters.huggingface.tuning.joint import open_joint
        from fusionapp.adapters.huggingface.tuning.settings import EncoderSettings

        table = encoders[name]
        settings = EncoderSettings(
            model=table["model"],
            pooling=table["pooling"],
            document_prefix=table["prefix"],
            max_length=table["max_length"],
            normalize=table["normalize"],
            layers="all" if table["layers"] == "all" else tuple(table["layers"]),
            revision=table["revision"],
            cache_dir=model_cache,
        )
        return open_joint(name, settings, recipe, seed)

    return open_encoder

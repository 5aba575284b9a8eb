"""``head.json``: what a head is, read with suspicion."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Literal

import attrs
from cattrs import Converter

from fusionapp.adapters.torch_heads.sources import SourceCard
from fusionapp.adapters.torch_shared.described import read_described
from fusionapp.domain.errors import CorruptArtifactError
from fusionapp.domain.fusion.spec import FusionSpec
from fusionapp.domain.recipe import TrainingRecipe

FORMAT = 2
CARD_FILE = "head.json"
_MOST_LAYERS = 1024
_CONVERTER = Converter(forbid_extra_keys=True)
# Of `epochs` and `patience`; the recipe's own validators judge the value.
_CONVERTER.register_structure_hook(int | Literal["auto"], lambda value, _: value)
for _names in (bool | tuple[str, ...], Literal["auto"] | tuple[str, ...]):
    # `tune_encoders` and `target_modules`; a head only keeps them.
    _CONVERTER.register_structure_hook(
        _names, lambda value, _: tuple(map(str, value)) if isinstance(value, list) else value
    )


@attrs.frozen
class HeadCard:
    """What ``head.json`` holds.

    Attributes:
        fusion: how the sources are fused.
        recipe: how the head was trained.
        sources: in the order that the fusion takes them.
        classes: how many classes.
        seed: which seed.
        best_epoch: the epoch kept, from 1.
        epochs: epochs run.
        parameters: trained numbers.
        validation: metrics at the best epoch, of calibrated logits where `recipe.calibrate` is set.
        linear: whether the logits add to a linear path's scores.
        temperature: what logits are divided by before their softmax.
        weights_sha256: of head.safetensors, 64 hex digits.
        format: version of this layout.
    """

    fusion: FusionSpec
    recipe: TrainingRecipe
    sources: tuple[SourceCard, ...]
    classes: int
    seed: int
    best_epoch: int
    epochs: int
    parameters: int
    validation: Mapping[str, float]
    linear: bool = False
    temperature: float = 1.0
    weights_sha256: str = ""
    format: int = FORMAT


def read_card(path: Path) -> HeadCard:
    """The card in a file.

    Raises:
        CorruptArtifactError: the file is missing or does not describe a head.
    """
    card = read_described(path, "head", FORMAT, HeadCard, _CONVERTER)
    sizes = [(source.layers, source.dim) for source in card.sources]
    sane = all(1 <= layers <= _MOST_LAYERS and dim >= 1 for layers, dim in sizes)
    if not sizes or not sane or card.classes < 1 or card.fusion.problems():
        raise CorruptArtifactError(f"{path}: sources {sizes} with {card.classes} classes make no head")
    if not (isfinite(card.temperature) and card.temperature > 0):
        raise CorruptArtifactError(f"{path}: a temperature of {card.temperature} is none; train again")
    return card

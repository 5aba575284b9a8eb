"""Fusion and recipe from ``KEY=VALUE`` words, as an experiment's ``--set`` reads them."""

from __future__ import annotations

from collections.abc import Sequence

from fusionapp.domain.fusion.spec import FusionSpec
from fusionapp.domain.recipe import TrainingRecipe
from fusionapp.entrypoints.experiment.load import load_experiment


def fusion_and_recipe(sets: Sequence[str]) -> tuple[FusionSpec, TrainingRecipe]:
    """What ``fusion.kind=moe`` and ``train.epochs=5`` say, and the defaults for the rest."""
    experiment = load_experiment(
        {"dataset": {"train": "train.csv"}, "encoders": {"minilm": {"model": "minilm"}}}, sets
    )
    return experiment.fusion, experiment.train
